"""A wish in the words of the memory model: what its llama-server will allocate. Pure."""

from typing import Any

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.kinds.placement.types import DeviceKind, Ground, Wish
from reconciler.placement.settings import Settings

_BATCH, _UBATCH = 2048, 512
"""llama-server's defaults."""
_OFF = {"off", "0", "false", "disabled"}


def settings_of(wish: Wish, ground: Ground, *, drafting: bool) -> Settings:
    """The settings that the wish's flags come to; the unit's flags are compiled by the same rules.

    `cache_ram` is left out: prompts are kept as long as there is room and are no reason to refuse a model.
    KeyError for a cache type that is none.
    """
    flags = dict(wish.flags)
    unified = bool(flags.get("kv-unified", False))
    batch = ubatch = None
    if wish.embedding and wish.context_tokens > _UBATCH:
        batch = ubatch = wish.context_tokens
    borrowing = any(device.kind is not DeviceKind.RPC for device in ground.devices)
    return Settings(
        context=wish.context_tokens * (1 if unified else wish.parallel),
        parallel=wish.parallel,
        unified=unified,
        type_k=tensor_type(str(flags.get("cache-type-k", "f16"))),
        type_v=tensor_type(str(flags.get("cache-type-v", "f16"))),
        batch=_number(flags.get("batch-size"), batch or _BATCH),
        ubatch=_number(flags.get("ubatch-size"), ubatch or _UBATCH),
        swa_full=bool(flags.get("swa-full", False)),
        kv_offload=bool(flags.get("kv-offload", True)),
        flash_attention=_flash_attention(flags.get("flash-attn", "auto")),
        op_offload=borrowing and bool(flags.get("op-offload", True)),
        # A server wants the logits of one token per slot, unless it checks guesses or gives embeddings.
        outputs=None if drafting or wish.embedding else wish.parallel,
        cache_ram=Bytes(0),
    )


def _number(value: Any, default: int) -> int:
    try:
        return max(1, int(value))
    except (TypeError, ValueError):
        return default


def _flash_attention(value: Any) -> bool:
    return value is not False and str(value).lower() not in _OFF
