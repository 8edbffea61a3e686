"""How the value of a flag reaches xllamacpp's parameters. One small function per shape of value."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_TRUE, _FALSE = ("on", "enabled", "true", "1"), ("off", "disabled", "false", "0")


class Settings:
    """The parameters being filled, and what can be handed over only when all flags are read."""

    def __init__(self, llama: Any) -> None:
        self.llama = llama
        self.params = llama.CommonParams()
        self.overrides: list[str] = []
        self.loras: list[tuple[str, float]] = []
        # Where llama-server's defaults are not those of the library.
        self.params.n_parallel = -1
        self.params.port = 8080
        self.params.default_template_kwargs = {"preserve_reasoning": "true"}

    def finish(self) -> Any:
        """The parameters, complete."""
        if self.overrides:
            self.params.tensor_buft_overrides = ",".join(self.overrides)
        adapters = []
        for path, scale in self.loras:
            adapter = self.llama.CommonAdapterLoraInfo()
            adapter.path, adapter.scale = path, scale
            adapters.append(adapter)
        self.params.lora_adapters = adapters
        return self.params


Setter = Callable[[Settings, str], None]
"""Takes the flag's text, for a switch `on` or `off`. Raises ValueError for a value that it cannot take."""


def text(path: str) -> Setter:
    return lambda settings, value: _assign(settings.params, path, value)


def number(path: str, *, least: int | None = None) -> Setter:
    def apply(settings: Settings, value: str) -> None:
        parsed = int(value)
        if least is not None and parsed < least:
            raise ValueError(f"must be at least {least}")
        _assign(settings.params, path, parsed)

    return apply


def fraction(path: str) -> Setter:
    return lambda settings, value: _assign(settings.params, path, float(value))


def switch(path: str, *, on: bool = True) -> Setter:
    """A flag without a value; its opposite spelling gives the opposite of `on`."""
    return lambda settings, value: _assign(settings.params, path, on == truth(value))


def choice(path: str, enumeration: str, members: Mapping[str, str]) -> Setter:
    """A word that stands for a member of one of xllamacpp's enumerations."""

    def apply(settings: Settings, value: str) -> None:
        if value not in members:
            raise ValueError(f"must be one of {', '.join(members)}")
        _assign(settings.params, path, getattr(getattr(settings.llama, enumeration), members[value]))

    return apply


def sampling(name: str, kind: Callable[[str], float], mark: str) -> Setter:
    """A sampling default, marked as set by hand, so that the model's own recommendation does not win."""

    def apply(settings: Settings, value: str) -> None:
        target = settings.params.sampling
        setattr(target, name, kind(value))
        marks = settings.llama.common_params_sampling_config
        target.user_sampling_config |= int(getattr(marks, f"COMMON_PARAMS_SAMPLING_CONFIG_{mark}"))

    return apply


def rows(value: str) -> list[str]:
    """The elements of a comma-separated value; one that has a comma itself stands in double quotes."""
    return [cell.strip() for cell in next(csv.reader([value]), []) if cell.strip()]


def truth(value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError("must be on or off")


def layers(path: str) -> Setter:
    """A number of layers, `auto` or `all`."""
    words = {"auto": -1, "all": -2}
    return lambda settings, value: _assign(
        settings.params, path, words[value] if value in words else int(value)
    )


def context_size(settings: Settings, value: str) -> None:
    settings.params.n_ctx = int(value)
    if settings.params.n_ctx == 0:
        # The whole context of the model was asked for: fitting must not shrink it.
        settings.params.fit_params_min_ctx = 2**32 - 1


def seed(settings: Settings, value: str) -> None:
    settings.params.sampling.seed = int(value) % 2**32


def hosts(settings: Settings, value: str) -> None:
    settings.params.hostnames = rows(value)


def aliases(settings: Settings, value: str) -> None:
    settings.params.model_alias = {alias.strip() for alias in value.split(",") if alias.strip()}


def tensor_split(settings: Settings, value: str) -> None:
    shares = [float(share) for share in value.replace("/", ",").split(",")]
    devices = len(settings.params.tensor_split)
    if len(shares) >= devices:
        raise ValueError(f"names {len(shares)} devices, llama.cpp knows at most {devices - 1}")
    settings.params.tensor_split = shares + [0.0] * (devices - len(shares))


def override_tensor(settings: Settings, value: str) -> None:
    settings.overrides.append(value)


def experts_on_cpu(settings: Settings, _value: str) -> None:
    settings.overrides.append(f"{_EXPERTS}=CPU")


def first_layers_on_cpu(pattern: str) -> Setter:
    def apply(settings: Settings, value: str) -> None:
        settings.overrides += [rf"blk\.{layer}{pattern}=CPU" for layer in range(int(value))]

    return apply


# llama.cpp's own patterns for --cpu-moe, --n-cpu-moe and --n-cpu-ffn.
_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
n_cpu_moe = first_layers_on_cpu(_EXPERTS)
n_cpu_ffn = first_layers_on_cpu(r"\.ffn_(up|down|gate)\.")


def device(settings: Settings, value: str) -> None:
    """The binding cannot choose among devices; it can do without them."""
    if value != "none":
        raise ValueError("the embedded engine can only be told `none`; choose GPUs by CUDA_VISIBLE_DEVICES")
    settings.params.n_gpu_layers = 0
    settings.params.no_kv_offload = True
    settings.params.no_op_offload = True
    settings.params.mmproj_use_gpu = False


def fit_target(settings: Settings, value: str) -> None:
    margins = [int(margin) * 1024 * 1024 for margin in value.replace("/", ",").split(",")]
    targets = list(settings.params.fit_params_target)
    settings.params.fit_params_target = (
        margins * len(targets) if len(margins) == 1 else margins + targets[len(margins) :]
    )


def lora(settings: Settings, value: str) -> None:
    settings.loras += [(path, 1.0) for path in rows(value)]


def lora_scaled(settings: Settings, value: str) -> None:
    for row in rows(value):
        path, colon, scale = row.rpartition(":")
        if not colon:
            raise ValueError("must be FNAME:SCALE")
        settings.loras.append((path, float(scale)))


def reranking(settings: Settings, _value: str) -> None:
    settings.params.embedding = True
    settings.params.pooling_type = settings.llama.llama_pooling_type.LLAMA_POOLING_TYPE_RANK


def api_key(settings: Settings, value: str) -> None:
    settings.params.api_keys = [*settings.params.api_keys, *rows(value)]


def api_key_file(settings: Settings, value: str) -> None:
    keys = [line for line in Path(value).read_text().splitlines() if line and not line.startswith("#")]
    settings.params.api_keys = [*settings.params.api_keys, *keys]


def chat_template_file(settings: Settings, value: str) -> None:
    settings.params.chat_template = Path(value).read_text()


def template_value(key: str) -> Setter:
    """A switch that is handed to the chat template as a boolean."""

    def apply(settings: Settings, value: str) -> None:
        _template_values(settings, {key: truth(value)})

    return apply


def template_values(settings: Settings, value: str) -> None:
    parsed = json.loads(value)
    if not isinstance(parsed, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - every unusable value is a ValueError
    _template_values(settings, parsed)


def reasoning(settings: Settings, value: str) -> None:
    if value == "auto":
        settings.params.enable_reasoning = -1
        return
    settings.params.enable_reasoning = int(truth(value))
    _template_values(settings, {"enable_thinking": truth(value)})


def timeout(settings: Settings, value: str) -> None:
    settings.params.timeout_read = settings.params.timeout_write = int(value)


def sleep_idle(settings: Settings, value: str) -> None:
    if int(value) == 0 or int(value) < -1:
        raise ValueError("cannot be 0 or less than -1")
    settings.params.sleep_idle_seconds = int(value)


def rope_scale(settings: Settings, value: str) -> None:
    settings.params.rope_freq_scale = 1.0 / float(value)


def folder(path: str) -> Setter:
    def apply(settings: Settings, value: str) -> None:
        if not Path(value).is_dir():
            raise ValueError(f"not a directory: {value}")
        _assign(settings.params, path, value.rstrip("/") + "/")

    return apply


def speculative_types(settings: Settings, value: str) -> None:
    kinds = settings.llama.common_speculative_type
    names = [f"COMMON_SPECULATIVE_TYPE_{name.upper().replace('-', '_')}" for name in rows(value)]
    unknown = [name for name in names if not hasattr(kinds, name)]
    if unknown:
        raise ValueError(f"unknown type of speculative decoding: {value}")
    settings.params.speculative.types = [getattr(kinds, name) for name in names]


def verbose(settings: Settings, _value: str) -> None:
    settings.params.verbosity = 2**31 - 1


def _template_values(settings: Settings, values: Mapping[str, Any]) -> None:
    encoded = {key: json.dumps(value) for key, value in values.items()}
    settings.params.default_template_kwargs = {**settings.params.default_template_kwargs, **encoded}


def _assign(target: Any, path: str, value: Any) -> None:
    *owners, name = path.split(".")
    for owner in owners:
        target = getattr(target, owner)
    if not hasattr(target, name):
        raise ValueError(f"the installed xllamacpp has no parameter {path}")
    setattr(target, name, value)
