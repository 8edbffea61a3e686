"""What happens to running runtimes when others are wanted: a new profile, or a new version beside the old."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from reconciler.core.types import Bytes, ModelId, UnitName

IDLE_SECONDS = 300.0
"""A runtime of a profile that is no longer active stops after so long without a request."""


@dataclass(frozen=True, slots=True)
class RuntimeUse:
    """A runtime as it stands: what it takes, and whether it is being used."""

    name: UnitName
    model: ModelId
    running: bool
    ready: bool = False
    requests: int = 0
    """Being answered now."""
    idle: float = 0.0
    """Seconds since its last request ended, or since it ceased to be wanted."""
    linger: float = IDLE_SECONDS
    """How many idle seconds it is kept for, should it be wanted again."""
    devices: Mapping[str, Bytes] | None = field(default_factory=dict)
    """Device → memory that it takes, or would take. None: nobody knows, so it fits beside nothing."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What to do now.

    Every running runtime that is not wanted is in exactly one of `bridge`, `vacate`, `drain` and `stop`. One
    that is to be stopped is taken out of routing first, and stopped when its last request ended.
    """

    start: tuple[UnitName, ...] = ()
    wait: Mapping[UnitName, tuple[UnitName, ...]] = field(default_factory=dict)
    """To be started as soon as those of `vacate` that each is given with have made room."""
    bridge: tuple[UnitName, ...] = ()
    """Still takes new requests, because its successor is not ready yet."""
    vacate: tuple[UnitName, ...] = ()
    """Stands in the way of one that waits: takes no new requests, and stops when those that it has end."""
    drain: tuple[UnitName, ...] = ()
    """Takes no new requests, and is kept for a while should it be wanted again."""
    stop: tuple[UnitName, ...] = ()
    """Has been idle for long enough."""

    @property
    def settled(self) -> bool:
        """Whether nothing runs that is not wanted, and nothing is left to start."""
        return not any((self.start, self.wait, self.bridge, self.vacate, self.drain, self.stop))


def transition(
    wanted: Sequence[RuntimeUse], left: Sequence[RuntimeUse], free: Mapping[str, Bytes]
) -> Transition:
    """Move from whatever runs to what is wanted; call it again whenever something changed.

    `wanted` may run or not; `left` are all others that run. `free` is what each device has to give now; one
    that it does not name is not limited.

    The old runtime of a model serves on until its successor is ready. When the successor does not fit beside
    it, the old one makes room when its last request ends, and where that is not enough, so do others.
    Everything else stops after its `linger`, and serves again without a restart if it is wanted before that.
    """
    coming = {one.model for one in wanted if not (one.running and one.ready)}
    room = dict(free)
    start, late = _starts([one for one in wanted if not one.running], left, room)
    wait = _make_room(late, sorted(left, key=lambda one: one.model in coming), room)
    in_the_way = {name for names in wait.values() for name in names}
    bridge, vacate, drain, stop = [], [], [], []
    for one in left:
        if one.name in in_the_way:
            vacate.append(one.name)
        elif one.model in coming:
            bridge.append(one.name)
        elif one.requests == 0 and one.idle >= one.linger:
            stop.append(one.name)
        else:
            drain.append(one.name)
    return Transition(
        tuple(one.name for one in start), wait, tuple(bridge), tuple(vacate), tuple(drain), tuple(stop)
    )


def _starts(
    missing: Sequence[RuntimeUse], left: Sequence[RuntimeUse], room: dict[str, Bytes]
) -> tuple[list[RuntimeUse], list[RuntimeUse]]:
    """Who fits beside what runs, in order; the rest waits, and is not overtaken on the devices it needs.

    What those who fit take is taken from `room`.
    """
    running = {one.model for one in left}
    start: list[RuntimeUse] = []
    wait: list[RuntimeUse] = []
    for one in missing:
        promised = set(chain.from_iterable(late.devices or () for late in wait))
        if one.devices is None:
            fits = one.model not in running
        else:
            fits = all(need <= room[device] for device, need in one.devices.items() if device in room)
        if fits and promised.isdisjoint(one.devices or ()):
            start.append(one)
            _change(room, one, -1)
        else:
            wait.append(one)
    return start, wait


def _make_room(
    wait: Sequence[RuntimeUse], left: Sequence[RuntimeUse], room: dict[str, Bytes]
) -> dict[UnitName, tuple[UnitName, ...]]:
    """Whom each of those that wait is to wait for: its model's old one first, and no more than it needs."""
    found: dict[UnitName, tuple[UnitName, ...]] = {}
    going: dict[UnitName, RuntimeUse] = {}
    for late in wait:
        for old in sorted(left, key=lambda one: one.model != late.model):
            if old.name not in going and _in_the_way(old, late, room):
                going[old.name] = old
                _change(room, old, +1)
        _change(room, late, -1)
        found[late.name] = tuple(old.name for old in going.values() if _makes_room(old, late))
    return found


def _change(room: dict[str, Bytes], one: RuntimeUse, sign: int) -> None:
    for device, size in (one.devices or {}).items():
        if device in room:
            room[device] = Bytes(room[device] + sign * size)


def _in_the_way(old: RuntimeUse, late: RuntimeUse, room: Mapping[str, Bytes]) -> bool:
    if old.devices is None or late.devices is None:
        return old.model == late.model
    return any(
        device in old.devices and need > room.get(device, need) for device, need in late.devices.items()
    )


def _makes_room(old: RuntimeUse, late: RuntimeUse) -> bool:
    if old.devices is None or late.devices is None:
        return old.model == late.model
    return not old.devices.keys().isdisjoint(late.devices)
