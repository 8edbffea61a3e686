"""What happens to the runtimes when the active profile changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from reconciler.core.types import Bytes, ModelId, ProfileName, UnitName

IDLE_SECONDS = 300.0
"""A runtime of a profile that is no longer active stops after so long without a request."""


@dataclass(frozen=True, slots=True)
class RuntimeUse:
    """A runtime as it stands: what it takes, and whether it is being used."""

    name: UnitName
    model: ModelId
    profile: ProfileName
    running: bool
    ready: bool = False
    requests: int = 0
    """Being answered now."""
    idle: float = 0.0
    """Seconds since its last request ended, or since it became ready."""
    devices: Mapping[str, Bytes] = field(default_factory=dict)
    """GPU UUID → VRAM that it takes, or would take."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What to do now.

    Every running runtime outside the active profile is in exactly one of `bridge`, `drain` and `stop`. One
    that is to be stopped is taken out of routing first, and stopped only if no request came in between.
    """

    start: tuple[UnitName, ...] = ()
    wait: tuple[UnitName, ...] = ()
    """To be started as soon as others have made room."""
    bridge: tuple[UnitName, ...] = ()
    """Still takes new requests, because its successor is not ready yet."""
    drain: tuple[UnitName, ...] = ()
    """Takes no new requests, finishes those that it has."""
    stop: tuple[UnitName, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing of another profile runs any more and nothing is left to start."""
        return not any((self.start, self.wait, self.bridge, self.drain, self.stop))


def transition(
    active: ProfileName | None,
    runtimes: Sequence[RuntimeUse],
    free: Mapping[str, Bytes],
    *,
    idle_seconds: float = IDLE_SECONDS,
) -> Transition:
    """Move from whatever runs to the runtimes of `active`; call it again whenever something changed.

    `runtimes` are those that should run under `active`, running or not, and all others that run. `free` is
    what each GPU has to give now; a GPU that it does not name is not limited.

    The old runtime of a model serves on until its successor is ready. When the successor does not fit beside
    it, the old one, and whatever else of other profiles stands in the way, is drained at once and stopped
    when its last request ends. Everything else of other profiles stops after `idle_seconds`, and serves again
    without a restart when its profile returns before that.
    """
    wanted = [one for one in runtimes if one.profile == active]
    left = [one for one in runtimes if one.profile != active and one.running]
    ready = {one.model for one in wanted if one.running and one.ready}
    coming = {one.model for one in wanted} - ready
    start, wait = _starts([one for one in wanted if not one.running], free)
    blocking = {one.name for one in left if any(_in_the_way(one, late, free) for late in wait)}
    bridge: list[UnitName] = []
    drain: list[UnitName] = []
    stop: list[UnitName] = []
    for one in left:
        if one.name in blocking:
            (drain if one.requests else stop).append(one.name)
        elif one.model in coming:
            bridge.append(one.name)
        elif one.requests == 0 and one.idle >= idle_seconds:
            stop.append(one.name)
        else:
            drain.append(one.name)
    return Transition(
        tuple(one.name for one in start),
        tuple(one.name for one in wait),
        tuple(bridge),
        tuple(drain),
        tuple(stop),
    )


def _starts(
    missing: Sequence[RuntimeUse], free: Mapping[str, Bytes]
) -> tuple[list[RuntimeUse], list[RuntimeUse]]:
    """Who fits beside what runs, in order; the rest waits, and is not overtaken on the GPUs that it needs."""
    start: list[RuntimeUse] = []
    wait: list[RuntimeUse] = []
    left = dict(free)
    for one in missing:
        fits = all(need <= left[gpu] for gpu, need in one.devices.items() if gpu in left)
        promised = set(chain.from_iterable(late.devices for late in wait))
        if fits and promised.isdisjoint(one.devices):
            start.append(one)
            for gpu, need in one.devices.items():
                if gpu in left:
                    left[gpu] = Bytes(left[gpu] - need)
        else:
            wait.append(one)
    return start, wait


def _in_the_way(old: RuntimeUse, late: RuntimeUse, free: Mapping[str, Bytes]) -> bool:
    return any(gpu in old.devices and need > free.get(gpu, need) for gpu, need in late.devices.items())
