"""Which kept placements still hold. Pure, and light: a plan without changes needs nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.sizes import format_bytes
from reconciler.core.types import UnitName
from reconciler.kinds.placement.document import parse
from reconciler.kinds.placement.types import DeviceKind, Ground, Record, Wish

_KEPT_STRATEGIES = ("auto", "shares", "fit", "tensor-overrider")
"""`manual` has nothing to keep."""
_NOT_THERE = "not in overrides-cache"


@dataclass(frozen=True, slots=True)
class Recalled:
    """What overrides-cache says of the wishes."""

    kept: Mapping[UnitName, Record]
    missing: Mapping[UnitName, str]
    """Runtimes that must be placed anew, with the cause."""
    stale: Mapping[UnitName, Record]
    """Of those, what they were placed with until now."""
    warnings: tuple[str, ...]


def recall(wishes: Sequence[Wish], ground: Ground, texts: Mapping[UnitName, str]) -> Recalled:
    """Compare each wish with its file; one that was edited, or made from something else, is made anew."""
    found = _compare(wishes, ground, texts)
    return _without(found, _crowded(wishes, ground, found.kept), "it no longer fits beside the others")


def recall_each(
    wishes: Sequence[Wish], ground: Ground, texts: Mapping[UnitName, str], always: Iterable[Record]
) -> Recalled:
    """The same of runtimes of which each is alone beside those that are `always` loaded."""
    found = _compare(wishes, ground, texts)
    left = _room(ground)
    for record in always:
        left |= _rest(left, _taken(record, ground), ground)
    crowded = [unit for unit, record in found.kept.items() if _exceeds(_taken(record, ground), left)]
    return _without(found, crowded, "it no longer fits beside what is always loaded")


def _without(found: Recalled, crowded: Sequence[UnitName], why: str) -> Recalled:
    kept = {unit: record for unit, record in found.kept.items() if unit not in crowded}
    stale = {**found.stale, **{unit: found.kept[unit] for unit in crowded}}
    return Recalled(kept, {**found.missing, **dict.fromkeys(crowded, why)}, stale, found.warnings)


def _compare(wishes: Sequence[Wish], ground: Ground, texts: Mapping[UnitName, str]) -> Recalled:
    kept: dict[UnitName, Record] = {}
    missing: dict[UnitName, str] = {}
    stale: dict[UnitName, Record] = {}
    warnings: list[str] = []
    for wish in wishes:
        if wish.strategy not in _KEPT_STRATEGIES or wish.blocked is not None:
            continue
        text = texts.get(wish.unit)
        if text is None:
            missing[wish.unit] = _NOT_THERE
            continue
        record = parse(text)
        if record is None or record.runtime != wish.unit:
            missing[wish.unit] = "its file in overrides-cache was edited or is damaged"
            warnings.append(f"{wish.unit}: {missing[wish.unit]}, so it is made anew; change the spec instead")
            continue
        key = wish.key(ground)
        if record.key == key:
            kept[wish.unit] = record
        else:
            stale[wish.unit] = record
            missing[wish.unit] = _difference(record.key, key)
    return Recalled(kept, missing, stale, tuple(warnings))


def _crowded(wishes: Sequence[Wish], ground: Ground, kept: Mapping[UnitName, Record]) -> list[UnitName]:
    """Those that have no room after the ones before them: there is less RAM, or files of two branches met."""
    left = _room(ground)
    crowded = []
    for wish in wishes:
        record = kept.get(wish.unit)
        if record is None:
            continue
        taken = _taken(record, ground)
        if _exceeds(taken, left):
            crowded.append(wish.unit)
        else:
            left |= _rest(left, taken, ground)
    return crowded


def _room(ground: Ground) -> dict[str, int]:
    """Bytes that may be used by device and of RAM."""
    left: dict[str, int] = {"ram": max(0, ground.ram - ground.reserved_ram)}
    for device in ground.devices:
        reserved = ground.reserved_vram if device.kind is DeviceKind.NVIDIA else 0
        left[device.id] = device.total - reserved
    return left


def _taken(record: Record, ground: Ground) -> dict[str, int]:
    taken: dict[str, int] = {part.id: part.total for part in (*record.devices, record.ram)}
    if ground.unified:
        taken["ram"] = record.ram.total + sum(part.total for part in record.devices)
    return taken


def _rest(left: Mapping[str, int], taken: Mapping[str, int], ground: Ground) -> dict[str, int]:
    """What others may have of these devices; an RPC server has one client at a time."""
    single = {device.id for device in ground.devices if device.kind is DeviceKind.RPC}
    return {id_: 0 if id_ in single else left.get(id_, 0) - size for id_, size in taken.items()}


def _exceeds(taken: Mapping[str, int], left: Mapping[str, int]) -> bool:
    return any(size > left.get(id_, 0) for id_, size in taken.items())


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first things that changed, in words."""
    changed = [
        _change(name, before.get(name), value) for name, value in now.items() if before.get(name) != value
    ]
    return "; ".join(changed[:2]) or "it was made by another release of modelctl"


def _change(name: str, before: Any, now: Any) -> str:
    match name:
        case "artifacts":
            return "other files"
        case "devices":
            return "other devices"
        case "reserve":
            return f"reserve of {_reserve(before)} → {_reserve(now)}"
        case "flags" | "generator" | "bandwidths":
            return f"other {name}"
        case _:
            return f"{name} {before} → {now}"


def _reserve(value: Any) -> str:
    try:
        return f"{format_bytes(value['ram'])} RAM, {format_bytes(value['vram'])} VRAM"
    except (TypeError, KeyError):
        return "nothing known"
