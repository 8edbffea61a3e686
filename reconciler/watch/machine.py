"""Cheap looks at the machine: enough to tell that a pass is worth it, and what happened to units."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.events import EventType
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import UnitName
from reconciler.core.units import UnitState, UnitStatus
from reconciler.reconcile.site import Site
from reconciler.reconcile.status import is_held

_PASSING = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)
"""Between these a unit goes by itself, and its supervisor sees to it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One look. Equal fingerprints: nothing happened that a plan could want to mend."""

    fingerprint: str = ""
    statuses: Mapping[UnitName, UnitStatus] = field(default_factory=dict)
    held: frozenset[UnitName] = frozenset()


def look(site: Site, owned: Mapping[UnitName, OwnedUnit]) -> Machine:
    """One call to the supervisor, and the time stamps of the files that units depend on. Reads no file."""
    names = list(owned)
    statuses = site.supervisor.observe(names) if names else {}
    digest = hashlib.sha256()
    for name in names:
        status = statuses.get(name, UnitStatus(name, UnitState.ABSENT))
        state = "alive" if status.state in _PASSING else status.state.value
        digest.update(f"{name} {state}\n".encode())
    for path in _files(site, owned.values()):
        digest.update(_stamp(path).encode())
    held = frozenset(
        unit.name
        for unit in owned.values()
        if is_held(unit, statuses.get(unit.name, UnitStatus(unit.name, UnitState.ABSENT)), supervised=True)
    )
    return Machine(digest.hexdigest(), statuses, held)


def happened(before: Machine, now: Machine) -> Iterator[tuple[EventType, UnitName, str]]:
    """What a person may want to hear of, from one look to the next."""
    for name, status in now.statuses.items():
        old = before.statuses.get(name)
        if old is None:
            continue
        if status.restarts > old.restarts:
            times = status.restarts - old.restarts
            yield (
                EventType.RUNTIME_RESTARTED,
                name,
                f"it ended unasked and was started again{f' ({times} times)' if times > 1 else ''}",
            )
        if status.state is UnitState.FAILED and old.state is not UnitState.FAILED:
            yield EventType.RUNTIME_GAVE_UP, name, status.detail or "its supervisor starts it no more"
    for name in sorted(now.held - before.held):
        yield EventType.RUNTIME_HELD, name, "a person stopped it; `modelctl resume` starts it again"


def folders(site: Site, owned: Iterable[UnitName]) -> tuple[Path, ...]:
    """Where a change hints at drift: the folders of unit files, and the store's blobs."""
    units = {site.supervisor.unit_path(name).parent for name in owned}
    return (*sorted(units), Path(site.places.blobs))


def _files(site: Site, units: Iterable[OwnedUnit]) -> Iterator[Path]:
    for unit in units:
        yield site.supervisor.unit_path(unit.name)
        yield Path(site.places.version(unit.model, unit.version))
    yield Path(site.places.blobs)


def _stamp(path: Path) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - hundreds of them per look, and pathlib costs as much again
    except OSError:
        return f"{path} -\n"
    what = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid)
    return f"{path} {what}\n"
