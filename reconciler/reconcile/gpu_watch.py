"""Looking at the GPUs again and again: survey, lockouts and our own use, folded into the active profile."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reconciler.core.conditions import Condition
from reconciler.core.errors import ModelctlError, SupervisorError
from reconciler.core.gpu import Gpu, GpuSurvey
from reconciler.core.types import Bytes, ProfileName, UnitName
from reconciler.gpu.eligibility import Limits, OwnUse
from reconciler.gpu.lockouts import Lockout, Lockouts, locked_gpus, read, unknown_gpus
from reconciler.gpu.select import Chance, Sample, Selection, step
from reconciler.host.local_time import local_now
from reconciler.host.lockout import lockout_paths, read_lockouts
from reconciler.host.nvml import survey
from reconciler.host.overrides_cache import read_placement
from reconciler.host.profile_file import profile_path, read_profile
from reconciler.host.state import State
from reconciler.kinds.placement.document import file_name, parse
from reconciler.reconcile.site import Site

TRUSTED_SECONDS = 60.0
"""What the watcher said of the active profile holds for so long; it says so at each of its looks."""


@dataclass(frozen=True, slots=True)
class GpuView:
    """One look and what it led to."""

    at: datetime
    survey: GpuSurvey
    selection: Selection
    lockouts: tuple[Lockouts, ...]
    own: OwnUse = field(default_factory=OwnUse)

    @property
    def in_force(self) -> tuple[Lockout, ...]:
        return tuple(entry for found in self.lockouts for entry in found.entries if entry.holds_at(self.at))

    def conditions(self) -> tuple[Condition, ...]:
        """What a person should know; nothing on a machine that has no NVIDIA driver and wants none."""
        gpus = [held.gpu for held in self.selection.gpus]
        conditions = [
            Condition(
                "gpus" if one.index is None else f"gpu {one.index}",
                "Degraded",
                "".join(word.title() for word in one.trouble.split("-")),
                one.message,
            )
            for one in self.survey.conditions
            if one.is_fault
        ]
        conditions += [
            Condition("lockouts", "Degraded", "LockoutUnreadable", problem)
            for found in self.lockouts
            for problem in found.problems
        ]
        conditions += [
            Condition(
                "lockouts", "Degraded", "LockoutUnknown", f"a lockout names {name!r}, which is no GPU here"
            )
            for name in unknown_gpus(self.in_force, gpus, self.at)
        ]
        if self.selection.active is None:
            message = (
                "no profile is possible now; `modelctl gpu` says why. A profile with `gpus: []` always is"
            )
            conditions.append(Condition("profile", "Stalled", "NoProfile", message))
        return tuple(conditions)


class GpuWatch:
    """Takes looks and keeps between them what deciding needs. Not for several threads at once."""

    def __init__(
        self,
        profiles: Mapping[ProfileName, Sequence[str]],
        lockout_files: Sequence[Path],
        *,
        active: ProfileName | None = None,
        goes_on: bool = False,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`active` is the profile from before this process: it holds while the GPUs cannot be seen.

        `goes_on`: a watcher kept it until a moment ago, so that the first look here is one of many.
        """
        self.profiles = profiles
        """May be replaced between looks, when the spec changed."""
        self._clock = clock
        self._lockout_files = lockout_files
        self._limits = limits or Limits()
        self._selection = Selection(active, goes_on=goes_on)
        self._lockouts: dict[str, Lockouts] = {}

    def look(self, own: OwnUse | None = None) -> GpuView:
        """Take one sample; `own` is what our runtimes take now."""
        seen = survey()
        now = local_now()
        own = own or OwnUse()
        lockouts = tuple(
            read(text, self._lockouts.get(text.path)) for text in read_lockouts(self._lockout_files)
        )
        self._lockouts = {found.path: found for found in lockouts}
        remembered = [held.gpu for held in self._selection.gpus]
        listed = {gpu.uuid for gpu in seen.gpus}
        gpus = [*seen.gpus, *(gpu for gpu in remembered if gpu.uuid not in listed)]
        entries = [entry for found in lockouts for entry in found.entries]
        sample = Sample(self._clock(), seen, own, locked_gpus(entries, gpus, now))
        self._selection = step(self._selection, sample, self.profiles, self._limits)
        return GpuView(now, seen, self._selection, lockouts, own)


def open_watch(site: Site, profiles: Mapping[ProfileName, Sequence[str]]) -> GpuWatch:
    """A watch that begins with the profile that was active last."""
    state = Path(site.places.state)
    said, age = read_profile(profile_path(state))
    active = said if said in profiles else None
    goes_on = active is not None and age < TRUSTED_SECONDS
    return GpuWatch(profiles, lockout_paths(state), active=active, goes_on=goes_on)


def held_profile(
    site: Site, profiles: Mapping[ProfileName, Sequence[str]], view: GpuView
) -> ProfileName | None:
    """The profile that holds for one look: the watcher's word, or what `view` says where there is none.

    A watcher has seen many samples, so one look beside it must not decide otherwise. But it says so every ten
    seconds only: what was locked or lost since is seen at once.
    """
    profile, age = read_profile(profile_path(Path(site.places.state)))
    chance = next((one.chance for one in view.selection.profiles if one.profile == profile), None)
    trusted = profile in profiles and age < TRUSTED_SECONDS and chance is not Chance.IMPOSSIBLE
    return profile if trusted else view.selection.active


def gpus_of(view: GpuView, profile: ProfileName) -> tuple[Gpu, ...]:
    """The GPUs of a profile that holds, in its order.

    Raises ModelctlError when one of them cannot be told: a profile can hold although a fresh process cannot
    see its GPUs, and a unit rendered without them would take a healthy runtime to the CPU.
    """
    held = next(one for one in view.selection.profiles if one.profile == profile)
    for fault in held.faults:
        hiding = next((one for one in view.survey.conditions if one.hides), None)
        if hiding is None:
            raise ModelctlError(fault.what, hint=fault.hint)
        mend = f"{hiding.hint}; " if hiding.hint else ""
        raise ModelctlError(
            f"profile {profile} is active, but its GPUs cannot be seen: {hiding.message}",
            hint=f"{mend}what runs goes on. Without these GPUs for good: take {profile} out of `profiles`",
        )
    known = {one.gpu.uuid: one.gpu for one in view.selection.gpus}
    return tuple(known[uuid] for uuid in held.gpus)


def own_use(site: Site, state: State) -> OwnUse:
    """What our running runtimes take: by their processes, which their supervisor names, and by placement.

    While the supervisor does not answer, all of them are held to run: their own memory must not make the
    profile fall. Whoever starts or stops runtimes reports it; looking at GPUs goes on.
    """
    units = state.units()
    if not units:
        return OwnUse()
    try:
        statuses = site.supervisor.observe(list(units)) if site.supervisor.is_running() else {}
    except SupervisorError:
        return OwnUse(placed=_placed(site, (unit.placed_as for unit in units.values())))
    pids = {name: status.pid for name, status in statuses.items() if status.pid is not None}
    return OwnUse(frozenset(pids.values()), _placed(site, (units[name].placed_as for name in pids)))


def _placed(site: Site, units: Iterable[UnitName]) -> dict[str, Bytes]:
    """VRAM per GPU that these were placed with."""
    placed: dict[str, Bytes] = {}
    for unit in units:
        record = parse(read_placement(site.overrides_cache / file_name(unit)) or "")
        for part in record.devices if record else ():
            placed[part.id] = Bytes(placed.get(part.id, 0) + part.total)
    return placed
