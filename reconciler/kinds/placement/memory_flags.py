"""Which llama-server flags change where a model goes or what it takes, by all their spellings. Pure."""

from collections.abc import Mapping
from typing import Any

_VALUES = {
    "cache-type-k": "cache-type-k", "ctk": "cache-type-k",
    "cache-type-v": "cache-type-v", "ctv": "cache-type-v",
    "batch-size": "batch-size", "b": "batch-size",
    "ubatch-size": "ubatch-size", "ub": "ubatch-size",
    "flash-attn": "flash-attn", "fa": "flash-attn",
    "cache-ram": "cache-ram", "cram": "cache-ram",
    "rope-scaling": "rope-scaling", "rope-scale": "rope-scale", "yarn-orig-ctx": "yarn-orig-ctx",
}  # fmt: skip
_SWITCHES = {
    "kv-unified": ("kv-unified", True), "kvu": ("kv-unified", True),
    "no-kv-unified": ("kv-unified", False), "no-kvu": ("kv-unified", False),
    "swa-full": ("swa-full", True),
    "kv-offload": ("kv-offload", True), "kvo": ("kv-offload", True),
    "no-kv-offload": ("kv-offload", False), "nkvo": ("kv-offload", False),
    "op-offload": ("op-offload", True), "no-op-offload": ("op-offload", False),
}  # fmt: skip
_PLACING = frozenset(
    (
        "gpu-layers", "n-gpu-layers", "ngl", "tensor-split", "ts", "split-mode", "sm", "main-gpu", "mg",
        "device", "dev", "override-tensor", "ot", "cpu-moe", "cmoe", "n-cpu-moe", "ncmoe", "rpc",
    )
)  # fmt: skip


def memory_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that count for memory, by their canonical names; switches as booleans."""
    found: dict[str, Any] = {}
    for name, value in flags.items():
        bare = _bare(name)
        if bare in _VALUES:
            found[_VALUES[bare]] = value
        elif bare in _SWITCHES:
            canonical, meaning = _SWITCHES[bare]
            found[canonical] = bool(value) == meaning
    return dict(sorted(found.items()))


def placing_flags(flags: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags that say by themselves what goes where."""
    return tuple(name for name in flags if _bare(name) in _PLACING)


def _bare(name: str) -> str:
    return name.lstrip("-").replace("_", "-")
