"""What generations say of versions: which served when, and which did not come up."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.inventory import Generation, OwnedUnit
from reconciler.core.types import ModelId, VersionId
from reconciler.host.state import State


@dataclass(frozen=True, slots=True)
class VersionChange:
    """How one generation differs from the one before for one model.

    `before` None: it was not served; `after` None: it is served no more. `failure` is why a change of it did
    not hold, in which case both may be the same.
    """

    model: ModelId
    before: VersionId | None
    after: VersionId | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One generation with what it changed. `created_at` is in seconds since the epoch."""

    number: int
    created_at: float
    revision: str | None
    dirty: bool
    profile: str
    changes: tuple[VersionChange, ...]

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Served:
    """A version that answered, and the latest generation in which it did."""

    version: VersionId
    generation: int


def generations(state: State) -> Iterator[Generation]:
    """Newest first; each is read when it is asked for."""
    latest = state.generation()
    for number in range(latest.number if latest else 0, 0, -1):
        generation = state.generation(number)
        if generation is not None:
            yield generation


def history(newest_first: Iterable[Generation], model: ModelId | None = None) -> Iterator[Entry]:
    """Each generation beside the one before it; with `model` only those that say something of it."""
    after: Generation | None = None
    for before in newest_first:
        if after is not None:
            yield from _entries(before, after, model)
        after = before
    if after is not None:
        yield from _entries(None, after, model)


def served_before(newest_first: Iterable[Generation], model: ModelId, current: VersionId) -> Served | None:
    """The last version of the model that answered and is not `current`; None when there is none."""
    for generation in newest_first:
        unit = _units(generation).get(model)
        if unit is not None and unit.ready_hash == unit.config_hash and unit.version != current:
            return Served(unit.version, generation.number)
    return None


def _entries(before: Generation | None, after: Generation, model: ModelId | None) -> Iterator[Entry]:
    changes = tuple(change for change in _changes(before, after) if model in {None, change.model})
    if changes or model is None:
        yield Entry(after.number, after.created_at, after.revision, after.dirty, after.profile, changes)


def _changes(before: Generation | None, after: Generation) -> Iterator[VersionChange]:
    old, new = _units(before) if before else {}, _units(after)
    for model in sorted({*old, *new}):
        was, now = old.get(model), new.get(model)
        failure = now.failure if now and (was is None or now.failure != was.failure) else None
        if was is None or now is None or was.version != now.version or failure:
            yield VersionChange(model, was.version if was else None, now.version if now else None, failure)


def _units(generation: Generation) -> dict[ModelId, OwnedUnit]:
    """One per model: during a change of profile there are two, and the active profile's counts."""
    ordered = sorted(generation.units, key=lambda unit: unit.profile == generation.profile)
    return {unit.model: unit for unit in ordered}
