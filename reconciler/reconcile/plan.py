"""The one planner: from what is wanted and what was seen to a plan. Pure.

`plan`, `diff`, `apply`, `watch`, `promote` and `rollback` all come through here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.core.operations import Operation, Verb, When, known
from reconciler.core.plan import Plan, Refusal, Revision
from reconciler.core.types import ModelId, ProfileName, UnitName
from reconciler.kinds.artifact.plan import ArtifactPlan
from reconciler.kinds.unit.plan import plan_removals, plan_units
from reconciler.kinds.unit.types import DesiredUnit, UnitWorld
from reconciler.reconcile.prune import guard, surplus
from reconciler.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Desired:
    """The spec, compiled for this machine and the active profile."""

    spec: Spec
    revision: Revision
    profile: ProfileName
    units: tuple[DesiredUnit, ...]
    placements: tuple[Operation, ...] = ()
    """Files of overrides-cache that are to be written."""
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for beside the spec."""

    prune: bool = False
    prune_limit: int | None = None
    only: frozenset[ModelId] = frozenset()
    """Empty: everything."""
    without: frozenset[ModelId] = frozenset()
    """Left alone, whatever the spec says: what is suspended, and what waits after a failure."""
    resume: frozenset[ModelId] = frozenset()
    """Started again, although a person stopped them."""

    def covers(self, model: ModelId) -> bool:
        return model not in self.without and (not self.only or model in self.only)


@dataclass(frozen=True, slots=True)
class Commit:
    """Payload of the operation that records a generation."""

    revision: str | None
    dirty: bool
    profile: str
    without: tuple[UnitName, ...]
    """Units that are about to be removed."""


def make_plan(desired: Desired, artifacts: ArtifactPlan, world: UnitWorld, request: Request) -> Plan:
    """Order: artifacts, placements, unit files, one reload, starts, checks, the generation, removals."""
    wanted = [_with_artifacts(unit, artifacts) for unit in desired.units if request.covers(unit.model)]
    units = plan_units(wanted, world, resume=request.resume)
    removed, refused, notes = _removals(desired, world, request)
    placements = _placements(desired, artifacts, request)
    steps = (*artifacts.operations, *placements, *units.operations)
    commit = _commit(desired, world, steps, removed) if steps or removed else ()
    gone = plan_removals(removed, world, after=tuple(operation.id for operation in commit))
    told = {refusal.resource for refusal in units.refused}
    covered = {unit.model for unit in wanted if unit.name in told}
    unserved = tuple(
        Refusal(model, *reason) for model, reason in artifacts.blocked.items() if model not in covered
    )
    return Plan(
        revision=desired.revision,
        generation=world.generation - 1,
        profile=desired.profile,
        operations=(*steps, *commit, *gone),
        refused=(*desired.refused, *unserved, *units.refused, *refused),
        warnings=(*desired.warnings, *units.warnings, *notes),
    )


def _placements(desired: Desired, artifacts: ArtifactPlan, request: Request) -> tuple[Operation, ...]:
    """A placement is kept once the files that it was reckoned from are verified."""
    return tuple(
        replace(operation, depends_on=known(operation.depends_on, artifacts.operations))
        for operation in desired.placements
        if request.covers(operation.payload.model)
    )


def _with_artifacts(unit: DesiredUnit, artifacts: ArtifactPlan) -> DesiredUnit:
    return replace(
        unit,
        needs=known(unit.needs, artifacts.operations),
        blocked=unit.blocked or artifacts.blocked.get(unit.model),
    )


def _removals(
    desired: Desired, world: UnitWorld, request: Request
) -> tuple[dict[UnitName, str], tuple[Refusal, ...], tuple[str, ...]]:
    """Units that go, with the cause; what a guard refused; what a person should know."""
    owned = [unit for unit in world.owned.values() if request.covers(unit.model)]
    found = surplus(owned, (unit.name for unit in desired.units), desired.spec, desired.profile)
    going = dict(found.replaced)
    if not found.orphaned:
        return going, (), ()
    if not request.prune:
        names = ", ".join(found.orphaned)
        return going, (), (f"no longer in the spec, and kept: {names}; remove with `modelctl apply --prune`",)
    refusal = guard(found.orphaned, len(world.owned), desired.spec, request.prune_limit)
    if refusal is not None:
        return going, (refusal,), ()
    return going | dict.fromkeys(found.orphaned, "no longer in the spec"), (), ()


def _commit(
    desired: Desired, world: UnitWorld, steps: Sequence[Operation], removed: Mapping[UnitName, str]
) -> tuple[Operation, ...]:
    return (
        Operation(
            Verb.COMMIT,
            "generation",
            str(world.generation),
            "what was reached is recorded",
            depends_on=tuple(operation.id for operation in steps),
            when=When.DONE,
            payload=Commit(desired.revision.commit, desired.revision.dirty, desired.profile, tuple(removed)),
        ),
    )
