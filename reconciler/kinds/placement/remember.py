"""What kept placements come to, when all of them still hold. Pure, and light."""

from collections.abc import Mapping, Sequence

from reconciler.core.sizes import format_bytes
from reconciler.core.types import UnitName
from reconciler.kinds.placement.layout import of_record, without_header
from reconciler.kinds.placement.types import DeviceKind, Ground, Layout, Record, Wish


def remembered(
    wishes: Sequence[Wish], ground: Ground, kept: Mapping[UnitName, Record]
) -> tuple[dict[UnitName, Layout], tuple[str, ...]]:
    """The layout of each wish, and what a person should know of them all."""
    layouts = {}
    for wish in wishes:
        record = kept.get(wish.unit)
        if record is None:
            layouts[wish.unit] = without_header(wish, ground, wish.blocked)
        else:
            layouts[wish.unit] = of_record(record, wish, ground)
    return layouts, remarks(wishes, kept, ground)


def remarks(wishes: Sequence[Wish], records: Mapping[UnitName, Record], ground: Ground) -> tuple[str, ...]:
    """What a person should know of placements that hold."""
    placed = [(wish, records[wish.unit]) for wish in wishes if wish.unit in records]
    found = [remark for wish, record in placed for remark in _of_one(wish, record)]
    return (*found, *_reserved_whole(ground), *_prompt_caches(placed, ground))


def _reserved_whole(ground: Ground) -> list[str]:
    return [
        f"settings.reserve.vram of {format_bytes(ground.reserved_vram)} leaves nothing of {device.name}"
        for device in ground.devices
        if device.kind is DeviceKind.NVIDIA and ground.reserved_vram >= device.total
    ]


def _of_one(wish: Wish, record: Record) -> list[str]:
    found = []
    scaled = any(name.startswith(("rope", "yarn")) for name, _ in wish.flags)
    if 0 < record.trained_context < wish.context_tokens and not scaled:
        found.append(
            f"{wish.unit}: context_tokens {wish.context_tokens} is more than the {record.trained_context}"
            " that the model was trained for; llama.cpp uses no more of it, but takes the memory for all"
        )
    if not record.exact:
        found.append(f"{wish.unit}: its architecture is not known; what it takes is an estimate")
    return found


def _prompt_caches(placed: Sequence[tuple[Wish, Record]], ground: Ground) -> list[str]:
    """Caches of finished prompts fill up with time; no reason to refuse a model, but one to say so."""
    caches = sum(wish.cache_ram for wish, _ in placed)
    fixed: int = sum(record.ram.total for _, record in placed)
    if ground.unified:
        fixed += sum(part.total for _, record in placed for part in record.devices)
    over = fixed + caches - max(0, ground.ram - ground.reserved_ram)
    if over <= 0 or not caches:
        return []
    what = (
        f"prompt caches may grow to {format_bytes(caches)} in all, {format_bytes(over)} more than there is"
        " RAM for; lower `flags: {cache-ram: …}`"
    )
    return [what]
