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
    wait: tuple[UnitName, ...] = ()
    """To be started as soon as those in `vacate` have made room."""
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
    it, the old one, and whatever else stands in the way, makes room when its last request ends. Everything
    else stops after its `linger`, and serves again without a restart when it is wanted before that.
    """
    coming = {one.model for one in wanted if not (one.running and one.ready)}
    start, wait = _starts([one for one in wanted if not one.running], left, free)
    in_the_way = {one.name for one in left if any(_in_the_way(one, late, free) for late in wait)}
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
        tuple(one.name for one in start),
        tuple(one.name for one in wait),
        tuple(bridge),
        tuple(vacate),
        tuple(drain),
        tuple(stop),
    )


def _starts(
    missing: Sequence[RuntimeUse], left: Sequence[RuntimeUse], free: Mapping[str, Bytes]
) -> tuple[list[RuntimeUse], list[RuntimeUse]]:
    """Who fits beside what runs, in order; the rest waits, and is not overtaken on the devices it needs."""
    running = {one.model for one in left}
    start: list[RuntimeUse] = []
    wait: list[RuntimeUse] = []
    room = dict(free)
    for one in missing:
        promised = set(chain.from_iterable(late.devices or () for late in wait))
        if one.devices is None:
            fits = one.model not in running
        else:
            fits = all(need <= room[device] for device, need in one.devices.items() if device in room)
        if fits and promised.isdisjoint(one.devices or ()):
            start.append(one)
            for device, need in (one.devices or {}).items():
                if device in room:
                    room[device] = Bytes(room[device] - need)
        else:
            wait.append(one)
    return start, wait


def _in_the_way(old: RuntimeUse, late: RuntimeUse, free: Mapping[str, Bytes]) -> bool:
    if old.devices is None or late.devices is None:
        return old.model == late.model
    return any(
        device in old.devices and need > free.get(device, need) for device, need in late.devices.items()
    )
