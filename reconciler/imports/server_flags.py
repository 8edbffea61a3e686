"""How llama-server's flags are read: which take a value, which are settings of ours, which are left out."""

import re
from collections.abc import Mapping

from reconciler.core.engine import EngineFlag
from reconciler.imports.found import FlagValue

_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")

SETTINGS = {
    "m": "model",
    "model": "model",
    "mu": "model-url",
    "model-url": "model-url",
    "hf": "hf-repo",
    "hfr": "hf-repo",
    "hf-repo": "hf-repo",
    "hff": "hf-file",
    "hf-file": "hf-file",
    "a": "alias",
    "alias": "alias",
    "c": "ctx-size",
    "ctx-size": "ctx-size",
    "np": "parallel",
    "parallel": "parallel",
    "host": "host",
    "port": "port",
    "mm": "mmproj",
    "mmproj": "mmproj",
    "lora": "lora",
    "lora-scaled": "lora-scaled",
    "md": "model-draft",
    "model-draft": "model-draft",
    "spec-draft-model": "model-draft",
    "embedding": "embedding",
    "embeddings": "embedding",
}
"""Flags that a setting of the spec stands for, by spelling without dashes."""

SWITCHES = frozenset({"embedding"})
"""Settings without a value."""

ACCUMULATING = frozenset({"lora", "lora-scaled"})
"""Settings that may be given several times, each adding to the ones before."""

ENVIRONMENT = {
    "LLAMA_ARG_MODEL": "model",
    "LLAMA_ARG_MODEL_URL": "model-url",
    "LLAMA_ARG_HF_REPO": "hf-repo",
    "LLAMA_ARG_HF_FILE": "hf-file",
    "LLAMA_ARG_ALIAS": "alias",
    "LLAMA_ARG_CTX_SIZE": "ctx-size",
    "LLAMA_ARG_N_PARALLEL": "parallel",
    "LLAMA_ARG_HOST": "host",
    "LLAMA_ARG_PORT": "port",
    "LLAMA_ARG_MMPROJ": "mmproj",
    "LLAMA_ARG_EMBEDDINGS": "embedding",
}
"""Variables that llama-server reads where the argv does not say it."""

ENVIRONMENT_FLAGS = {
    "LLAMA_ARG_N_GPU_LAYERS": "gpu-layers",
    "LLAMA_ARG_TENSOR_SPLIT": "tensor-split",
    "LLAMA_ARG_SPLIT_MODE": "split-mode",
    "LLAMA_ARG_MAIN_GPU": "main-gpu",
    "LLAMA_ARG_DEVICE": "device",
    "LLAMA_ARG_FLASH_ATTN": "flash-attn",
    "LLAMA_ARG_CACHE_TYPE_K": "cache-type-k",
    "LLAMA_ARG_CACHE_TYPE_V": "cache-type-v",
    "LLAMA_ARG_THREADS": "threads",
    "LLAMA_ARG_BATCH": "batch-size",
    "LLAMA_ARG_UBATCH": "ubatch-size",
}
"""As `ENVIRONMENT`, for flags that are kept as they are."""

ENGINE_VARIABLES = ("LLAMA_", "GGML_", "CUDA_", "HIP_", "ROCR_", "HSA_", "OMP_", "LD_")
"""What names of variables begin with that change what llama-server does."""

_SECRET = "a key in an argv can be read by everybody on the machine; modelctl hands keys over otherwise"  # noqa: S105 - a sentence
_OWN = "modelctl decides on it by itself"
LEFT_OUT = {
    **dict.fromkeys(("api-key", "api-key-file"), _SECRET),
    **dict.fromkeys(("slot-save-path", "models-dir", "models-preset", "models-max"), _OWN),
    **dict.fromkeys(("models-autoload", "no-models-autoload", "docker-repo", "dr"), _OWN),
    **dict.fromkeys(("fit-target", "fitt"), "`settings.reserve` says what stays free"),
}
"""Flags that the spec's `flags` cannot hold, and why."""

SECRETS = frozenset({"api-key", "hf-token", "hft", "api-key-file"})
"""Flags whose value is never shown."""

SAME = {
    "metrics": True,
    "fit": "off",
    "cache-ram": 512,
    "cram": 512,
    "no-webui": True,
    "no-ui": True,
    "offline": True,
}
"""Flags that we set to just these values ourselves; there is nothing to say of them."""

_LONG = {
    "ngl": "gpu-layers", "n-gpu-layers": "gpu-layers", "ts": "tensor-split", "sm": "split-mode",
    "mg": "main-gpu", "dev": "device", "ot": "override-tensor", "cmoe": "cpu-moe", "ncmoe": "n-cpu-moe",
}  # fmt: skip
"""Flags that say what lies where, by one name each, whatever engine is at hand."""

CHOSEN_BY_SERVER = {"gpu-layers": {"auto", "-1"}}
"""Values by which a flag says nothing."""

_REPEATED = frozenset({"override-kv", "ot", "override-tensor", "control-vector", "control-vector-scaled"})

_VALUELESS = frozenset(
    {
        *("metrics", "jinja", "no-jinja", "cont-batching", "cb", "no-cont-batching", "nocb", "mlock"),
        *("no-mmap", "mmap", "webui", "no-webui", "verbose", "v", "offline", "no-warmup", "warmup"),
        *("kv-unified", "kvu", "no-kv-unified", "no-kvu", "no-kv-offload", "nkvo", "context-shift"),
        *(
            "no-context-shift",
            "swa-full",
            "slots",
            "no-slots",
            "props",
            "cpu-moe",
            "cmoe",
            "embd-bert-format",
        ),
        *("reranking", "rerank", "special", "sp", "no-perf", "check-tensors", "no-ui", "ui", "log-disable"),
    }
)
"""Switches of many builds, for a command line that is read without an engine at hand."""


def is_read(variable: str) -> bool:
    """Whether an environment variable is one that changes what llama-server does."""
    return variable.startswith(ENGINE_VARIABLES)


def name_of(word: str) -> str:
    """`--flash_attn` is `flash-attn`, `-fa` is `fa`."""
    return word.lstrip("-").replace("_", "-")


def is_flag(word: str) -> bool:
    return word.startswith("-") and word not in {"-", "--"} and _NUMBER.fullmatch(word) is None


def takes_value(name: str, following: str | None, known: Mapping[str, EngineFlag]) -> bool:
    """Whether `following` belongs to the flag `name`; `known`: an engine's flags by every spelling."""
    if following is None or is_flag(following):
        return False
    setting = SETTINGS.get(name)
    if setting is not None:
        return setting not in SWITCHES
    flag = known.get(f"--{name}") or known.get(f"-{name}")
    if flag is not None:
        return flag.value is not None
    return name not in _VALUELESS


def long_name(name: str, known: Mapping[str, EngineFlag]) -> str:
    """The flag's long spelling without dashes, as the spec writes it."""
    if name in _LONG:
        return _LONG[name]
    flag = known.get(f"--{name}") or known.get(f"-{name}")
    if flag is None or f"--{name}" in flag.names:
        return name
    return next((long.removeprefix("--") for long in flag.names if long.startswith("--")), name)


def to_value(text: str) -> FlagValue:
    """A number where it is written just so, else the text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text


def with_flag(flags: Mapping[str, FlagValue], name: str, value: FlagValue) -> dict[str, FlagValue]:
    """`flags` and one more; the later wins, but for flags that llama-server adds up."""
    before = flags.get(name)
    if name in _REPEATED and before is not None and not isinstance(before, bool):
        earlier = [str(before)] if isinstance(before, str | int | float) else list(before)
        return {**flags, name: [*earlier, str(value)]}
    return {**flags, name: value}
