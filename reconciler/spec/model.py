"""The spec as types: what a person may write, frozen and closed. Field names are the YAML's keys.

Values are checked one by one here; what needs two places of the spec to be compared stands in `check`.
The docstring below a field is its description in the JSON Schema and in docs/spec.md.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from reconciler.core.sizes import parse_bytes, parse_seconds
from reconciler.core.types import (
    ID_PATTERN,
    REVISION_PATTERN,
    SHA256_PATTERN,
    Bytes,
    ModelId,
    ProfileName,
    Sha256,
    VersionId,
)
from reconciler.spec.addresses import check_listen, check_source

SOURCE_PATTERN = r"^(hf|https|http|file|ollama)://."
LINE_PATTERN = r"^[^\x00-\x1f\x7f]+$"
FLAG_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
PORTS_PATTERN = r"^[0-9]{1,5}-[0-9]{1,5}$"
SIZE_FORMAT, DURATION_FORMAT = "size", "duration"
"""Of the JSON Schema; names of our own, which draft-07 allows."""
LARGEST_SIZE = 2**63 - 1


def _read_size(value: object) -> Bytes:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a size is written as 20GiB, 512MiB or a number of bytes")  # noqa: TRY004 - pydantic wants it
    try:
        size = parse_bytes(value)
    except OverflowError:
        size = Bytes(LARGEST_SIZE + 1)
    if size > LARGEST_SIZE:
        raise ValueError("that is more than any machine has")
    return size


def _read_seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a duration is written as 30m, 90s, 1h30m or a number of seconds")  # noqa: TRY004 - pydantic wants it
    return parse_seconds(value)


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Line = Annotated[str, StringConstraints(pattern=LINE_PATTERN)]
"""Text without line breaks and other control characters: it may end up in a unit file or an argv."""
Hex64 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
Hex40 = Annotated[str, StringConstraints(pattern=REVISION_PATTERN)]
Source = Annotated[
    str, AfterValidator(check_source), WithJsonSchema({"type": "string", "pattern": SOURCE_PATTERN})
]
Listen = Annotated[
    str,
    AfterValidator(check_listen),
    WithJsonSchema(
        {"type": "string", "pattern": ":[0-9]{1,5}$", "examples": ["127.0.0.1:8600", "[::1]:8600"]}
    ),
]
Size = Annotated[
    Bytes,
    BeforeValidator(_read_size),
    Field(ge=0),
    WithJsonSchema({"format": SIZE_FORMAT, "type": ["string", "integer"], "minimum": 0}),
]
Seconds = Annotated[
    float,
    BeforeValidator(_read_seconds),
    Field(gt=0),
    WithJsonSchema({"format": DURATION_FORMAT, "type": ["string", "number"], "exclusiveMinimum": 0}),
]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Percentage = Annotated[int, Field(ge=0, le=100, strict=True)]
FlagName = Annotated[str, StringConstraints(pattern=FLAG_PATTERN)]
FlagValue = bool | int | float | str | tuple[str, ...]
Strategy = Literal["auto", "shares", "fit", "tensor-overrider", "manual"]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
METAL = "metal"
"""How a profile names the GPU of an Apple Silicon machine."""


class Closed(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Reserve(Closed):
    """What the rest of the machine keeps."""

    ram: Size = Bytes(2 * 1024**3)
    """RAM that no runtime may be planned into."""
    vram: Size = Bytes(1024**3)
    """VRAM per GPU that no runtime may be planned into."""


class Gateway(Closed):
    """Where clients call."""

    listen: Listen = "127.0.0.1:8600"
    """Address and port of the OpenAI-compatible gateway."""
    ollama_listen: Listen | None = None
    """Address and port that speaks Ollama's API, if any."""


class Pool(Closed):
    """How `on_demand` runtimes are kept."""

    ports: Annotated[str, StringConstraints(pattern=PORTS_PATTERN)] = "8601-8699"
    """First and last port that `on_demand` runtimes without a port of their own may take."""
    idle_timeout: Seconds = 1800.0
    """An `on_demand` runtime without requests for so long is stopped."""

    @property
    def port_range(self) -> range:
        first, last = self.ports.split("-")
        return range(int(first), int(last) + 1)


class Sources(Closed):
    """Where artifacts may come from."""

    allow_private: tuple[Line, ...] = ()
    """Host names or addresses in private or link-local ranges that a download may reach."""
    offline: bool = False
    """Never use the network; only what is in the store or named by `file://`."""


class Settings(Closed):
    """How this machine is run."""

    store: Line = "~/.local/share/modelctl"
    """Folder of artifacts and state; `$MODELCTL_STORE` wins over it."""
    supervisor: Literal["auto", "systemd", "systemd-user", "launchd", "supervisord", "pm2"] = "auto"
    """What owns the running processes."""
    engine: Line = "auto"
    """`auto` (llama-server on PATH, else embedded), `embedded`, or the path of a llama-server."""
    reserve: Reserve = Reserve()
    """Memory that is left for the rest of the machine."""
    gateway: Gateway = Gateway()
    """Where clients call."""
    pool: Pool = Pool()
    """How `on_demand` runtimes are kept."""
    sources: Sources = Sources()
    """Where artifacts may come from."""
    ready_timeout: Seconds = 600.0
    """A unit that is not ready after so long has failed."""
    bandwidths: dict[Line, Count] = {}
    """Memory bandwidth in GB per second by GPU name (a part is enough), or `ram`; wins over the built-in
    table, which knows what the makers state."""


class RpcServer(Closed):
    """A `ggml-rpc-server`, on this or another machine, whose device is used like a GPU of this one."""

    address: Listen
    """Host and port. The protocol has neither password nor encryption: use it in trusted networks only."""
    vram: Size
    """Memory of the device that runtimes may be planned into."""


class Profile(Closed):
    """A named set of GPUs; the order of profiles in the spec is their rank."""

    gpus: tuple[Line, ...]
    """GPU names (a part is enough) or UUIDs, in the order in which layers are laid out; `metal` is the GPU of
    an Apple Silicon machine. Empty: CPU only."""
    rpc: tuple[RpcServer, ...] = ()
    """Devices of other machines, laid out after the GPUs. Each server offers one device."""

    @property
    def cards(self) -> tuple[str, ...]:
        """Names of NVIDIA GPUs."""
        return tuple(name for name in self.gpus if name.lower() != METAL)

    @property
    def devices(self) -> int:
        """How many devices it has, over all kinds."""
        return len(self.gpus) + len(self.rpc)


class Companion(Closed):
    """A further file that a version needs beside its GGUF."""

    url: Source
    """`hf://org/repo/file.gguf`, `https://…`, `file:///…`, or a layer of a local Ollama model:
    `ollama://name:tag#projector`, `ollama://name:tag#adapter`."""
    revision: Hex40 | None = None
    """Commit on the hub; `modelctl pull` fills it in."""
    sha256: Hex64 | None = None
    """Of the file; `modelctl pull` fills it in."""


class Lora(Companion):
    """A LoRA adapter and how strongly it is applied."""

    scale: float = 1.0
    """Factor on the adapter's weights."""


class Version(Closed):
    """One immutable artifact set of a model."""

    version_id: Id
    """Unique within the model; a date with a counter, such as `2025-11-17-01`, sorts well."""
    gguf_url: Source
    """`hf://org/repo/file.gguf`, `https://…`, `file:///…` or `ollama://name:tag`; of a split GGUF the first
    shard (`…-00001-of-00003.gguf`)."""
    revision: Hex40 | None = None
    """Commit on the hub; `modelctl pull` fills it in."""
    sha256: Hex64 | tuple[Hex64, ...] | None = None
    """Of the file, or one per shard in order; `modelctl pull` fills it in."""
    mmproj: Companion | None = None
    """Multimodal projector."""
    loras: tuple[Lora, ...] = ()
    """LoRA adapters, applied in order."""
    draft: Companion | None = None
    """Draft model for speculative decoding."""
    created_at: str | None = None
    """When the version was added, such as `2025-11-17T10:00:00Z`."""
    notes: str | None = None
    """What a reader should know about it."""

    @property
    def hashes(self) -> tuple[Sha256, ...]:
        """Of the GGUF's shards, in order; empty while unresolved."""
        if self.sha256 is None:
            return ()
        return tuple(Sha256(h) for h in ((self.sha256,) if isinstance(self.sha256, str) else self.sha256))


class ModelProfile(Closed):
    """How a model is served under one profile. What is absent comes from the model."""

    port: Port | None = None
    """Loopback port; absent: a UNIX socket below the store."""
    gpu_percentages: tuple[Percentage, ...] | None = None
    """Shares of the model per GPU of the profile, in the profile's order; they sum to 100. Absent: placement
    computes the split."""
    strategy: Strategy | None = None
    """Overrides the model's."""
    context_tokens: Count | None = None
    """Overrides the model's."""
    kv_cache_type: CacheType | None = None
    """Overrides the model's."""
    parallel: Count | None = None
    """Overrides the model's."""
    flags: dict[FlagName, FlagValue] = {}
    """Further llama-server flags, without dashes; they win over the model's."""


class Model(Closed):
    """A model with its versions and the way it is served."""

    id: Id
    """Unique in the spec; clients ask for the model by it."""
    display_name: Line | None = None
    """Name for people."""
    purpose_tags: tuple[Line, ...] = ()
    """What callers need done: the first tag is what it is best at."""
    languages: tuple[Line, ...] = ()
    """Programming or human languages that it is good at."""
    context_tokens: Count = 4096
    """Tokens that one request may use."""
    kv_cache_type: CacheType | None = None
    """How keys and values of the context are kept; absent: f16. `q8_0` takes about half the memory."""
    strategy: Strategy = "auto"
    """Who decides which layer goes where. `auto`: the fastest split that fits, or `gpu_percentages` where there
    are any; `shares`: always `gpu_percentages`; `fit`: llama.cpp's own `--fit`; `tensor-overrider`: the
    external gguf-tensor-overrider; `manual`: the `flags` as they are given."""
    cost_tier: Literal["low", "medium", "high"] = "medium"
    """What an answer costs, compared to the other models."""
    current_version: Id
    """The `version_id` to serve."""
    versions: Annotated[tuple[Version, ...], Field(min_length=1)]
    """Every version that is kept."""
    residency: Literal["always", "on_demand"] = "always"
    """`always`: kept loaded by `apply`; `on_demand`: loaded by the gateway when it is asked for."""
    priority: Literal["low", "normal", "high"] = "normal"
    """`high`: never evicted; `low`: the first to go."""
    parallel: Count = 1
    """Requests served at once; each has `context_tokens` of its own."""
    memory_limit: Size | None = None
    """The runtime is restarted above this resident size."""
    embedding: bool = False
    """Serves embeddings instead of chat."""
    ready_timeout: Seconds | None = None
    """Overrides `settings.ready_timeout`."""
    flags: dict[FlagName, FlagValue] = {}
    """Further llama-server flags, without dashes: `flash-attn: "on"`, `cache-type-k: q8_0`."""
    profiles: dict[Id, ModelProfile | None]
    """Where it is served; a profile that is absent or null does not serve it."""

    @property
    def model_id(self) -> ModelId:
        return ModelId(self.id)

    @cached_property
    def current(self) -> Version:
        """The version to serve; `check` has made sure that it exists."""
        return next(v for v in self.versions if v.version_id == self.current_version)


class Sampling(Closed):
    """Sampling parameters of a persona; what is absent is left to the engine."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    """0 always takes the most likely token."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Only the most likely tokens whose probabilities sum to this are drawn from."""
    top_k: Annotated[int, Field(ge=0)] | None = None
    """Only this many of the most likely tokens are drawn from; 0: all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Tokens below this share of the most likely one's probability are not drawn."""
    repeat_penalty: Annotated[float, Field(ge=0)] | None = None
    """Above 1, tokens that occurred become less likely."""
    presence_penalty: float | None = None
    """Taken from a token's logit once when it occurred."""
    frequency_penalty: float | None = None
    """Taken from a token's logit for each time that it occurred."""
    seed: int | None = None
    """Start of the random numbers: the same seed, the same answer."""
    max_tokens: Count | None = None
    """An answer ends after so many tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""


class Message(Closed):
    """One turn of an example conversation."""

    role: Literal["system", "user", "assistant"]
    """Who says it."""
    content: str
    """What is said."""


class Persona(Closed):
    """A base model plus system prompt and sampling, addressable as a model name."""

    id: Id
    """Unique among personas and models; clients ask for the persona by it."""
    base_model: Id
    """Id of the model that answers."""
    system_prompt: str | None = None
    """Put before every conversation."""
    messages: tuple[Message, ...] = ()
    """Examples of how it answers, put between the system prompt and the conversation."""
    chat_template: Line | None = None
    """Name of a template that llama.cpp knows; absent: the GGUF's own."""
    sampling: Sampling = Sampling()
    """What a request does not say itself."""


HookEvent = Literal[
    "apply_began", "apply_ended", "operation_failed", "version_stored", "runtime_ready", "runtime_failed",
    "runtime_restored", "runtime_restarted", "runtime_gave_up", "runtime_held", "runtime_removed",
    "profile_changed", "revision_seen", "spec_invalid", "blocked", "unblocked", "suspended", "resumed",
    "watch_began", "watch_ended",
]  # fmt: skip
"""Those of `reconciler.core.events`, but for the failure of a hook, which must run no hook."""


class Hook(Closed):
    """A command that the watcher runs on events."""

    on: Annotated[tuple[HookEvent, ...], Field(min_length=1)]
    """The events; docs/watching.md tells what each means."""
    run: Annotated[tuple[Line, ...], Field(min_length=1)]
    """The program and its arguments, without a shell; the event comes as JSON on its standard input."""
    timeout: Seconds = 10.0
    """It is killed after so long."""


class Spec(Closed):
    """Everything that the spec folder says."""

    settings: Settings = Settings()
    """How this machine is run."""
    profiles: dict[Id, Profile] = {"cpu_only": Profile(gpus=())}
    """In order of preference; the first whose GPUs are all eligible is active."""
    models: tuple[Model, ...] = ()
    """What can be served."""
    personas: tuple[Persona, ...] = ()
    """Further names under which models answer."""
    pins: dict[Id, Id] = {}
    """Model id → version id that promote, update and gc must leave alone."""
    hooks: tuple[Hook, ...] = ()
    """Commands that the watcher runs on events, whoever caused them."""

    @cached_property
    def by_id(self) -> dict[ModelId, Model]:
        return {model.model_id: model for model in self.models}

    def served(self, profile: ProfileName) -> tuple[tuple[Model, ModelProfile], ...]:
        """The models that `profile` serves, with their settings there, in the spec's order."""
        found = ((model, model.profiles.get(profile)) for model in self.models)
        return tuple((model, settings) for model, settings in found if settings is not None)

    def pinned(self, model: ModelId) -> VersionId | None:
        version = self.pins.get(model)
        return None if version is None else VersionId(version)


def dump(spec: Spec) -> dict[str, Any]:
    """The spec as plain data, without what was left at its default."""
    return spec.model_dump(mode="json", exclude_defaults=True)
