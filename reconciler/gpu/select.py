"""Which profile is active, decided sample by sample without flapping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core.gpu import GpuSurvey
from reconciler.core.types import ProfileName
from reconciler.gpu.eligibility import GpuState, Limits, OwnUse, judge, observe
from reconciler.gpu.profiles import ProfileFault, ProfileMatch, match

SETTLE_SECONDS = 30.0
"""A better profile must have been possible for so long before it is taken."""
SETTLE_SECONDS_MAX = 900.0
"""A profile that falls sooner than this after a return waits twice as long next time, up to this."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything that one decision looks at."""

    at: float
    """Seconds of a monotonic clock."""
    survey: GpuSurvey
    own: OwnUse = field(default_factory=OwnUse)
    locked: Mapping[str, str] = field(default_factory=dict)
    """GPU UUID → reason of its lockout."""


class Chance(StrEnum):
    """Whether a profile could be active now."""

    POSSIBLE = "possible"
    BUSY = "busy"
    """Its GPUs are there and not locked, but other work holds them."""
    UNKNOWN = "unknown"
    """A GPU of it does not show or cannot be told from another, and nothing says that it is gone."""
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class ProfileState:
    """One profile after a sample; `since`: when it became possible, None while it is not."""

    profile: ProfileName
    chance: Chance
    gpus: tuple[str, ...] = ()
    """UUIDs in the profile's order."""
    why_not: tuple[str, ...] = ()
    faults: tuple[ProfileFault, ...] = ()
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The state of the decision: the active profile and everything that later samples need.

    `active` is None when no profile can be: then nothing is to be started.
    """

    active: ProfileName | None = None
    goes_on: bool = False
    """Before the first sample: `active` was held until a moment ago, by samples that are not known here."""
    profiles: tuple[ProfileState, ...] = ()
    gpus: tuple[GpuState, ...] = ()
    changed_at: float | None = None
    """When `active` last changed; None before the first sample."""
    returned_at: float | None = None
    """When a better profile was last taken, while nothing has fallen since."""
    settle: float = SETTLE_SECONDS


def step(
    state: Selection, sample: Sample, profiles: Mapping[ProfileName, Sequence[str]], limits: Limits
) -> Selection:
    """The selection after one more sample; `profiles` maps names to GPU names, the best profile first.

    The first sample decides at once, unless the state `goes_on`. Later, a profile that is no longer possible
    is left at once for the best that is, and a better one is taken when it has been possible for
    `state.settle` seconds without a break. What cannot be seen changes nothing. Pass `Selection(active=…)` to
    begin with the profile that was active before this process.
    """
    gpus = _observe(state, sample, limits, _trusted(state, sample, profiles))
    now = _judge(state, sample, match(profiles, [held.gpu for held in gpus]), gpus)
    active = _choose(state, sample.at, now)
    changed_at, returned_at, settle = state.changed_at, state.returned_at, state.settle
    if active != state.active or changed_at is None:
        order = [held.profile for held in now]
        if state.changed_at is not None and _rank(order, active) < _rank(order, state.active):
            returned_at = sample.at
        elif state.changed_at is not None:
            settle = _settle_after_fall(state, sample, gpus)
            returned_at = None
        changed_at = sample.at
    return Selection(
        active,
        profiles=now,
        gpus=gpus,
        changed_at=changed_at,
        returned_at=returned_at,
        settle=settle,
    )


def _trusted(
    state: Selection, sample: Sample, profiles: Mapping[ProfileName, Sequence[str]]
) -> tuple[GpuState, ...]:
    """The GPUs of a profile that goes on from before this process, as they were held then."""
    if not state.goes_on or state.active is None or state.active not in profiles:
        return ()
    (found,) = match({state.active: profiles[state.active]}, sample.survey.gpus)
    return tuple(GpuState(gpu, eligible=True) for gpu in found.gpus)


def _observe(
    state: Selection, sample: Sample, limits: Limits, trusted: tuple[GpuState, ...]
) -> tuple[GpuState, ...]:
    """Every GPU that is there or may be; one that is gone is forgotten, so that it must earn trust again."""
    before = {held.gpu.uuid: held for held in (*trusted, *state.gpus)}
    held: list[GpuState] = []
    for gpu in sample.survey.gpus:
        seen = judge(
            gpu,
            sample.own,
            limits,
            locked=sample.locked.get(gpu.uuid),
            silent=sample.survey.silent_about(gpu.uuid),
        )
        held.append(observe(before.get(gpu.uuid), gpu, seen, limits))
    for uuid, old in before.items():
        if sample.survey.may_be_hidden(uuid):
            locked = sample.locked.get(uuid)
            held.append(
                GpuState(
                    old.gpu,
                    eligible=old.eligible and locked is None,
                    streak=old.streak,
                    locked=locked is not None,
                    hidden=True,
                    reason=f"locked: {locked}" if locked is not None else "not seen in the last sample",
                )
            )
    return tuple(sorted(held, key=lambda one: (one.gpu.index, one.gpu.uuid)))


def _judge(
    state: Selection, sample: Sample, matches: Sequence[ProfileMatch], gpus: Sequence[GpuState]
) -> tuple[ProfileState, ...]:
    by_uuid = {held.gpu.uuid: held for held in gpus}
    since = {old.profile: old.since for old in state.profiles}
    blind = any(condition.hides for condition in sample.survey.conditions)
    result = []
    for found in matches:
        held = [by_uuid[gpu.uuid] for gpu in found.gpus]
        why_not = [_in_short(fault, blind=blind) for fault in found.faults]
        why_not += [f"{one.gpu.name}: {one.reason or 'busy until now'}" for one in held if not one.eligible]
        if any(one.locked for one in held) or not all(blind or fault.ambiguous for fault in found.faults):
            chance = Chance.IMPOSSIBLE
        elif found.faults and (blind or all(one.eligible for one in held)):
            chance = Chance.UNKNOWN
        elif any(one.hidden for one in held) and found.profile != state.active:
            chance = Chance.UNKNOWN  # good enough to stay, not to go there
        elif all(one.eligible for one in held):
            chance = Chance.POSSIBLE
        else:
            chance = Chance.BUSY
        begun = since.get(found.profile)
        if chance is not Chance.POSSIBLE:
            begun = None
        elif begun is None:
            begun = sample.at
        uuids = tuple(gpu.uuid for gpu in found.gpus)
        result.append(ProfileState(found.profile, chance, uuids, tuple(why_not), found.faults, begun))
    return tuple(result)


def _in_short(fault: ProfileFault, *, blind: bool) -> str:
    """Beside the profile's name; while the driver hides cards, nothing says that one is missing."""
    if blind:
        return f"{fault.gpu!r} cannot be seen"
    return f"{fault.what.removeprefix(f'profile {fault.profile}: ')} ({fault.hint})"


def _choose(state: Selection, at: float, now: Sequence[ProfileState]) -> ProfileName | None:
    possible = [one for one in now if one.chance is Chance.POSSIBLE]
    chances = {one.profile: one.chance for one in now}
    held = Chance.IMPOSSIBLE if state.active is None else chances.get(state.active, Chance.IMPOSSIBLE)
    if held is Chance.UNKNOWN:
        return state.active
    if (state.changed_at is None and not state.goes_on) or held is not Chance.POSSIBLE:
        if possible:
            return possible[0].profile
        # Nothing is free. What is merely busy still works; what is locked or gone does not.
        if held is Chance.BUSY:
            return state.active
        return next((one.profile for one in now if one.chance is Chance.BUSY), None)
    order = [one.profile for one in now]
    for one in possible:
        settled = one.since is not None and at - one.since >= state.settle
        if settled and _rank(order, one.profile) < _rank(order, state.active):
            return one.profile
    return state.active


def _settle_after_fall(state: Selection, sample: Sample, gpus: Sequence[GpuState]) -> float:
    """Twice as long after a fall that came soon after a return; a person's lockout is no such fall."""
    left = next((one.gpus for one in state.profiles if one.profile == state.active), ())
    if any(one.locked and one.gpu.uuid in left for one in gpus):
        return SETTLE_SECONDS
    if state.returned_at is None or sample.at - state.returned_at >= SETTLE_SECONDS_MAX:
        return SETTLE_SECONDS
    return min(2 * state.settle, SETTLE_SECONDS_MAX)


def _rank(order: Sequence[ProfileName], profile: ProfileName | None) -> int:
    return order.index(profile) if profile in order else len(order)
