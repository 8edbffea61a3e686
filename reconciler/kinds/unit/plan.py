"""Decides what happens to units. Pure: from what is wanted and what was seen to operations with causes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.core.plan import Refusal
from reconciler.core.types import ModelId, UnitName
from reconciler.core.units import UnitState
from reconciler.kinds.unit.compare import Step, compare, kept, mended
from reconciler.kinds.unit.types import (
    DesiredUnit,
    Handover,
    UnitNames,
    UnitReturn,
    UnitWorld,
)

KIND = "unit"


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """Operations in an order in which they can run, and what is left alone."""

    files: tuple[Operation, ...]
    """Unit files, and one reload; nothing runs otherwise yet."""
    starts: tuple[Operation, ...]
    """Starts, checks, and what happens when a check fails."""
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]

    @property
    def operations(self) -> tuple[Operation, ...]:
        return (*self.files, *self.starts)


def plan_units(
    desired: Sequence[DesiredUnit],
    world: UnitWorld,
    *,
    resume: Collection[ModelId] = (),
    handovers: Mapping[UnitName, Handover] = MappingProxyType({}),
    keep: Sequence[tuple[OwnedUnit, DesiredUnit]] = (),
) -> UnitPlan:
    """Compare each wanted unit with what is there; a unit that is as wanted yields nothing.

    One that a person stopped stays stopped, unless its model is in `resume`. Those in `handovers` take over
    from another unit. Those to `keep` go on as they are, instead of what is wanted of their models.
    """
    steps: list[Step] = list(mended(world))
    steps += (step for owned, like in keep if (step := kept(owned, like, world)) is not None)
    refused: list[Refusal] = []
    warnings: list[str] = []
    for unit in desired:
        outcome = compare(unit, world, resume=unit.model in resume)
        if isinstance(outcome, Step):
            steps.append(_handed(outcome, handovers.get(unit.name)))
        elif isinstance(outcome, Refusal):
            refused.append(outcome)
        elif outcome is not None:
            warnings.append(outcome)
    files, reload = _files(steps, world)
    return UnitPlan(files, _starts(steps, reload), tuple(refused), tuple(warnings))


def _handed(step: Step, handover: Handover | None) -> Step:
    """With what comes before its start; one that is stopped by then is started, not started again."""
    stopped = handover is not None and handover.stopped and step.begin is Verb.RESTART
    return replace(step, handover=handover, begin=Verb.START if stopped else step.begin)


def _files(steps: Sequence[Step], world: UnitWorld) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """All files and one reload, and the reload's id where there is one."""
    operations: list[Operation] = []
    launch: tuple[str, ...] = ()
    if steps and not world.supervisor_running:
        cause = f"{world.supervisor} is not running"
        operations.append(Operation(Verb.LAUNCH, KIND, str(world.supervisor), cause))
        launch = (operations[-1].id,)
    operations += [_operation(step, Verb.WRITE, needs=step.needs) for step in steps if step.write]
    writes = tuple(operation.id for operation in operations if operation.verb is Verb.WRITE)
    # A supervisor that has only just come up, or that lost a unit, must be told of unchanged files as well.
    told = tuple(
        step.change.unit.name
        for step in steps
        if step.write
        or not world.supervisor_running
        or world.observed[step.change.unit.name].status.state is UnitState.ABSENT
    )
    reload = Operation(
        Verb.RELOAD,
        KIND,
        str(world.supervisor),
        f"{len(told)} unit file{'s' if len(told) != 1 else ''} to read",
        depends_on=(*launch, *writes),
        when=When.DONE,
        payload=UnitNames(changed=told),
    )
    if not told:
        return tuple(operations), ()
    return (*operations, reload), (reload.id,)


def _starts(steps: Sequence[Step], reload: tuple[str, ...]) -> tuple[Operation, ...]:
    """Starts, checks, and what happens when a check fails."""
    operations: list[Operation] = []
    for step in steps:
        if step.begin is not None:
            own = operation_id(KIND, Verb.WRITE, step.change.unit.name)
            room = step.handover.after if step.handover else ()
            needs = (*((own,) if step.write else step.needs), *reload, *room)
            operations.append(_operation(step, step.begin, needs=needs))
    for step in (step for step in steps if step.proven):
        begun = () if step.begin is None else (operation_id(KIND, step.begin, step.change.unit.name),)
        operations.append(_operation(step, Verb.CHECK, needs=begun))
    operations += [restore for step in steps if (restore := _restore(step)) is not None]
    return tuple(operations)


def _operation(step: Step, verb: Verb, *, needs: tuple[str, ...]) -> Operation:
    cause = "it must answer before it counts" if verb is Verb.CHECK else step.cause
    return Operation(verb, KIND, step.change.unit.name, cause, depends_on=needs, payload=step.change)


def _restore(step: Step) -> Operation | None:
    """A unit that does not become ready gives way to the one that answered before."""
    if step.handover is not None and step.handover.previous is not None:
        return _return(step, step.handover, step.handover.previous)
    previous = step.change.previous
    if not step.write or previous is None:
        return None
    return Operation(
        Verb.RESTORE,
        KIND,
        step.change.unit.name,
        f"only if that fails: back to version {previous.version} of generation {previous.generation}",
        depends_on=_watched(step),
        when=When.FAILURE,
        payload=replace(step.change, unit=previous),
    )


def _return(step: Step, handover: Handover, previous: OwnedUnit) -> Operation:
    does = "is started again" if handover.revive else "goes on"
    return Operation(
        Verb.RESTORE,
        KIND,
        step.change.unit.name,
        f"only if that fails: {previous.name} with version {previous.version} {does}",
        depends_on=(*handover.after, *_watched(step)),
        when=When.FAILURE,
        payload=UnitReturn(
            step.change.unit.name,
            replace(step.change, unit=replace(previous, retired_at=None)),
            handover.revive,
        ),
    )


def _watched(step: Step) -> tuple[str, ...]:
    name = step.change.unit.name
    verbs = (Verb.WRITE if step.write else None, step.begin, Verb.CHECK)
    return tuple(operation_id(KIND, verb, name) for verb in verbs if verb is not None)
