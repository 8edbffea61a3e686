"""What a model's metadata says about its layers: heads, caches, recurrent state, experts.

The rules are those of llama.cpp's loaders, build b11434 (`load_arch_hparams` per architecture).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.errors import FormatError
from reconciler.gguf.header import GgufHeader
from reconciler.placement.families import BY_HEADS, BY_INTERVAL, KNOWN, NO_CACHE, RECURRENT, WINDOWS

MAX_LAYERS = 512
"""`LLAMA_MAX_LAYERS`."""
MAX_EXPERTS = 1024
"""`LLAMA_MAX_EXPERTS`."""


class Cache(StrEnum):
    """What a layer keeps of the past."""

    FULL = "full"
    """Keys and values of the whole context."""
    WINDOW = "window"
    """Keys and values of a sliding window."""
    NONE = "none"
    """Nothing of its own: no attention, or it reads another layer's cache."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. Widths are in elements per token; `recurrent` layers keep a state of fixed size."""

    heads: int
    heads_kv: int
    key_length: int
    value_length: int
    cache: Cache
    recurrent: bool = False

    @property
    def key_width(self) -> int:
        return self.heads_kv * self.key_length

    @property
    def value_width(self) -> int:
        return self.heads_kv * self.value_length


@dataclass(frozen=True, slots=True)
class State:
    """Sizes of a recurrent layer's state in f32 elements per sequence, and what its graph needs."""

    convolution: int = 0
    recurrence: int = 0
    inner: int = 0
    channels: int = 0
    time_step_rank: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    name: str
    exact: bool
    """False: this architecture is not known, caches follow the general formula."""
    width: int
    vocabulary: int
    trained_context: int
    """0 when the file does not say."""
    layers: tuple[Layer, ...]
    """All blocks of the file, the prediction blocks at the end included."""
    prediction_layers: int
    """Trailing multi-token-prediction blocks, which a server loads only when asked to."""
    window: int
    latent_rank: int
    """Multi-head latent attention: rank of the compressed keys and values; 0 without."""
    experts: int
    experts_used: int
    state: State
    scales_embeddings: bool = False
    """They are multiplied before the first block."""

    @property
    def latent(self) -> bool:
        """Keys alone are cached, compressed."""
        return self.latent_rank > 0

    @property
    def running_layers(self) -> int:
        """Blocks that run when a token is decoded."""
        return len(self.layers) - self.prediction_layers


class _Keys:
    """The metadata of one architecture, typed."""

    def __init__(self, header: GgufHeader) -> None:
        self.name = header.architecture
        self._metadata = header.metadata
        if not self.name:
            raise FormatError(
                "the file names no architecture (general.architecture)",
                hint="it may be a vocabulary or a projector; give the model's own GGUF file",
            )

    def number(self, key: str, default: int = 0) -> int:
        value = self._metadata.get(f"{self.name}.{key}", default)
        if isinstance(value, tuple):
            value = max((item for item in value if isinstance(item, int)), default=default)
        return int(value) if isinstance(value, int | float) and 0 <= value < 2**40 else default

    def has(self, key: str) -> bool:
        return f"{self.name}.{key}" in self._metadata

    def per_layer(self, key: str, layers: int, default: list[int]) -> list[int]:
        value = self._metadata.get(f"{self.name}.{key}")
        if isinstance(value, tuple):
            found = [int(item) for item in value if isinstance(item, int | float)]
            return found[:layers] + default[len(found) :]
        return [int(value)] * layers if isinstance(value, int | float) else default

    def array(self, key: str) -> tuple[object, ...] | None:
        value = self._metadata.get(f"{self.name}.{key}")
        return value if isinstance(value, tuple) else None


def read_architecture(header: GgufHeader) -> Architecture:
    """Read the hyper-parameters; FormatError when those that every model has are missing."""
    keys = _Keys(header)
    count = keys.number("block_count")
    width = keys.number("embedding_length")
    if not 0 < count <= MAX_LAYERS or width == 0:
        raise FormatError(
            f"the metadata of this {keys.name} model lacks a usable block count or embedding length",
            hint="the file may be a projector, an adapter or damaged; check its source",
        )
    prediction = min(keys.number("nextn_predict_layers"), count)
    heads = keys.per_layer("attention.head_count", count, [0] * count)
    heads_kv = keys.per_layer("attention.head_count_kv", count, heads)
    recurrent = _recurrent(keys, count, prediction, heads_kv)
    latent_rank = _latent_rank(keys)
    experts = min(keys.number("expert_count"), MAX_EXPERTS)
    window, is_window = _windows(keys, count, count - prediction)
    has_cache = _has_cache(keys, count, prediction, recurrent, heads_kv)
    head = width // heads[0] if heads[0] else 0
    if head == 0 and max(heads) > 0:
        head = width // max(heads)
    key_length = keys.number("attention.key_length", head)
    value_length = keys.number("attention.value_length", head)
    layers = tuple(
        Layer(
            heads=heads[number],
            heads_kv=heads_kv[number],
            key_length=keys.number("attention.key_length_swa", key_length)
            if is_window[number]
            else key_length,
            value_length=keys.number("attention.value_length_swa", value_length)
            if is_window[number]
            else value_length,
            cache=(Cache.WINDOW if is_window[number] else Cache.FULL) if has_cache[number] else Cache.NONE,
            recurrent=recurrent[number],
        )
        for number in range(count)
    )
    return Architecture(
        name=keys.name,
        exact=keys.name in KNOWN,
        width=width,
        vocabulary=keys.number("vocab_size") or header.token_count,
        trained_context=keys.number("context_length"),
        layers=layers,
        prediction_layers=prediction,
        window=window,
        latent_rank=latent_rank,
        experts=experts,
        experts_used=min(keys.number("expert_used_count"), experts),
        state=_state(keys, width, max(heads)) if any(recurrent) else State(),
        scales_embeddings=keys.name.startswith("gemma") or keys.has("embedding_scale"),
    )


def _latent_rank(keys: _Keys) -> int:
    if keys.number("attention.key_length_mla") and keys.number("attention.value_length_mla"):
        return keys.number("attention.kv_lora_rank")
    return 0


def _recurrent(keys: _Keys, count: int, prediction: int, heads_kv: list[int]) -> list[bool]:
    running = count - prediction
    if keys.name in RECURRENT or keys.name == "falcon-h1":
        return [True] * count
    if keys.name in BY_INTERVAL:
        marked = keys.array("attention.recurrent_layers")
        if marked is not None and len(marked) >= count:
            return [bool(mark) for mark in marked[:count]]
        interval = keys.number("full_attention_interval", 4) or 4
        return [number < running and (number + 1) % interval != 0 for number in range(count)]
    if keys.name in BY_HEADS:
        feed_forward = keys.per_layer("feed_forward_length", count, [0] * count)
        mixed = keys.name.startswith("nemotron_h")
        return [
            number < running and heads_kv[number] == 0 and not (mixed and feed_forward[number])
            for number in range(count)
        ]
    return [False] * count


def _has_cache(
    keys: _Keys, count: int, prediction: int, recurrent: list[bool], heads_kv: list[int]
) -> list[bool]:
    if keys.name in NO_CACHE or keys.name in RECURRENT:
        return [False] * count
    own = count - prediction
    if keys.name == "gemma3n":
        own = min(own, 20)
    elif keys.name == "gemma4":
        own = count - keys.number("attention.shared_kv_layers")
    both = keys.name == "falcon-h1"
    return [
        number < own and heads_kv[number] > 0 and (both or not recurrent[number]) for number in range(count)
    ]


def _windows(keys: _Keys, count: int, running: int) -> tuple[int, list[bool]]:
    """The window in tokens, and which layers have it."""
    nowhere = [False] * count
    rule = WINDOWS.get(keys.name)
    if rule is None or (keys.name == "exaone4" and running != 64):  # noqa: PLR2004 - only the 32B has windows
        return 0, nowhere
    period, first, assumed = rule
    window = keys.number("attention.sliding_window", assumed)
    if keys.name == "smallthinker" and window:
        window = 4096
    if window == 0:
        return 0, nowhere
    if keys.name == "llama4":
        window = 8192
    marked = keys.array("attention.sliding_window_pattern")
    if marked is not None:
        return window, [number < len(marked) and bool(marked[number]) for number in range(count)]
    period = keys.number("attention.sliding_window_pattern", period)
    is_full: Callable[[int], bool] = (
        (lambda number: number % period == 0) if first else (lambda number: number % period == period - 1)
    )
    return window, [number < running and period > 0 and not is_full(number) for number in range(count)]


def _state(keys: _Keys, width: int, heads: int) -> State:
    """`n_embd_r` and `n_embd_s` of llama-hparams.cpp."""
    head_size = keys.number("wkv.head_size")
    if head_size:
        return State(keys.number("token_shift_count", 2) * width, width * head_size, width, width)
    short = keys.number("shortconv.l_cache")
    if short:
        return State(width * (short - 1), 0, width, width)
    kernel = keys.number("ssm.conv_kernel")
    inner = keys.number("ssm.inner_size")
    delta_head = keys.number("kda.head_dim")
    if delta_head:
        inner = heads * delta_head
        return State(3 * (kernel - 1 if kernel else 3) * inner, delta_head * inner, inner, 3 * inner)
    size = keys.number("ssm.state_size")
    channels = inner + 2 * keys.number("ssm.group_count") * size
    return State(
        convolution=max(kernel - 1, 0) * channels,
        recurrence=size * inner,
        inner=inner,
        channels=channels,
        time_step_rank=keys.number("ssm.time_step_rank"),
    )
