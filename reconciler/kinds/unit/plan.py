"""Decides what happens to units. Pure: from what is wanted and what was seen to operations with causes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.core.plan import Refusal
from reconciler.core.types import ModelId, UnitName
from reconciler.core.units import UnitState
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.render import render
from reconciler.kinds.unit.types import (
    DesiredUnit,
    Handover,
    ObservedUnit,
    UnitChange,
    UnitNames,
    UnitReturn,
    UnitWorld,
)

KIND = "unit"
ALIVE = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)


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


@dataclass(frozen=True, slots=True)
class _Step:
    """What one unit needs."""

    change: UnitChange
    cause: str
    write: bool
    begin: Verb | None
    """START, RESTART, or None when it already starts and only its readiness is awaited."""
    needs: tuple[str, ...]
    handover: Handover | None = None


def plan_units(
    desired: Sequence[DesiredUnit],
    world: UnitWorld,
    *,
    resume: Collection[ModelId] = (),
    handovers: Mapping[UnitName, Handover] = MappingProxyType({}),
) -> UnitPlan:
    """Compare each wanted unit with what is there; a unit that is as wanted yields nothing.

    One that a person stopped stays stopped, unless its model is in `resume`. Those in `handovers` take over
    from another unit.
    """
    steps: list[_Step] = []
    refused: list[Refusal] = []
    warnings: list[str] = []
    for unit in desired:
        outcome = _compare(unit, world, resume=unit.model in resume)
        if isinstance(outcome, _Step):
            steps.append(_handed(outcome, handovers.get(unit.name)))
        elif isinstance(outcome, Refusal):
            refused.append(outcome)
        elif outcome is not None:
            warnings.append(outcome)
    files, reload = _files(steps, world)
    return UnitPlan(files, _starts(steps, reload), tuple(refused), tuple(warnings))


def _compare(unit: DesiredUnit, world: UnitWorld, *, resume: bool) -> _Step | Refusal | str | None:
    seen = world.observed[unit.name]
    owned = world.owned.get(unit.name)
    if foreign := _foreign(unit.name, seen, world):
        return foreign
    wanted = unit.definition.config_hash
    if owned is not None and seen.file_hash is not None and owned.config_hash == wanted:
        if seen.file_hash != text_hash(owned.text):
            return _change(unit, world, cause="its unit file was changed by hand")
        if owned.started_hash == wanted:
            step = _unchanged(unit, owned, seen, world, resume=resume)
            begins = isinstance(step, _Step) and step.begin is not None
            return _port_taken(unit, seen.port_holder) if begins and seen.port_holder else step
    if unit.blocked is not None:
        return Refusal(unit.name, *unit.blocked)
    if seen.port_holder is not None:
        return _port_taken(unit, seen.port_holder)
    if owned is None or seen.file_hash is None:
        cause = "not installed" if owned is None else "its unit file is gone"
    elif owned.config_hash == wanted:
        cause = "written but not started: the last apply was interrupted"
    else:
        cause = _what_changed(unit, owned)
    return _change(unit, world, cause=cause)


def _port_taken(unit: DesiredUnit, holder: str) -> Refusal:
    return Refusal(
        unit.name,
        f"its address {unit.endpoint} is in use by {holder}",
        "stop that program, or give the model another port in the spec",
    )


def _handed(step: _Step, handover: Handover | None) -> _Step:
    """With what comes before its start; one that is stopped by then is started, not started again."""
    stopped = handover is not None and handover.stopped and step.begin is Verb.RESTART
    return replace(step, handover=handover, begin=Verb.START if stopped else step.begin)


def _foreign(name: UnitName, seen: ObservedUnit, world: UnitWorld) -> Refusal | None:
    if seen.file_hash is None or seen.file_owner == world.owner:
        return None
    if seen.file_owner is None and name in world.owned:
        return None  # ours by the inventory; somebody cut its header off by hand
    whose = f"another modelctl ({seen.file_owner})" if seen.file_owner else "somebody else"
    return Refusal(
        name, f"a unit of this name belongs to {whose}", "rename the model, or remove that unit first"
    )


def _unchanged(
    unit: DesiredUnit, owned: OwnedUnit, seen: ObservedUnit, world: UnitWorld, *, resume: bool
) -> _Step | str | None:
    """The configuration is right; is it running?"""
    ready = owned.ready_hash == owned.config_hash
    state = seen.status.state
    if state in ALIVE:
        return None if ready else _begin(unit, owned, None, "started but never seen ready")
    held = state is UnitState.STOPPED and ready and world.supervisor_running
    if held and not resume:
        return f"{unit.name} was stopped by hand and is held; `modelctl resume {unit.model}` starts it again"
    if unit.blocked is not None:
        return None
    if state is UnitState.FAILED:
        return _begin(
            unit, owned, Verb.RESTART, f"it failed: {seen.status.detail or 'the supervisor gave up on it'}"
        )
    if held:
        cause = "stopped by hand, and to be resumed"
    else:
        cause = "it is not running" if world.supervisor_running else "the supervisor was not running"
    return _begin(unit, owned, Verb.START, cause)


def _change(unit: DesiredUnit, world: UnitWorld, *, cause: str) -> _Step:
    definition = unit.definition
    ownership = Ownership(world.owner, world.generation, definition.config_hash)
    rendered = render(definition, ownership, world.supervisor, world.template)
    new = OwnedUnit(
        name=unit.name,
        model=unit.model,
        version=unit.version,
        profile=unit.profile,
        endpoint=str(unit.endpoint),
        config_hash=definition.config_hash,
        text=rendered.text,
        started_hash=None,
        ready_hash=None,
        generation=world.generation,
    )
    previous = world.last_ready.get(unit.name)
    alive = world.observed[unit.name].status.state in ALIVE
    return _Step(
        change=UnitChange(new, previous, unit.embedding, unit.ready_seconds, definition.memory_limit),
        cause=cause,
        write=True,
        begin=Verb.RESTART if alive else Verb.START,
        needs=unit.needs,
    )


def _begin(unit: DesiredUnit, owned: OwnedUnit, verb: Verb | None, cause: str) -> _Step:
    kept = replace(owned, retired_at=None)
    change = UnitChange(kept, None, unit.embedding, unit.ready_seconds, unit.definition.memory_limit)
    return _Step(change, cause, write=False, begin=verb, needs=unit.needs)


def _what_changed(unit: DesiredUnit, owned: OwnedUnit) -> str:
    if owned.version != unit.version:
        return f"version {owned.version} → {unit.version}"
    if owned.endpoint != str(unit.endpoint):
        return f"address {owned.endpoint} → {unit.endpoint}"
    return "its settings changed"


def _files(steps: Sequence[_Step], world: UnitWorld) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
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


def _starts(steps: Sequence[_Step], reload: tuple[str, ...]) -> tuple[Operation, ...]:
    """Starts, checks, and what happens when a check fails."""
    operations: list[Operation] = []
    for step in steps:
        if step.begin is not None:
            own = operation_id(KIND, Verb.WRITE, step.change.unit.name)
            room = step.handover.after if step.handover else ()
            needs = (*((own,) if step.write else step.needs), *reload, *room)
            operations.append(_operation(step, step.begin, needs=needs))
    for step in steps:
        begun = () if step.begin is None else (operation_id(KIND, step.begin, step.change.unit.name),)
        operations.append(_operation(step, Verb.CHECK, needs=begun))
    operations += [restore for step in steps if (restore := _restore(step)) is not None]
    return tuple(operations)


def _operation(step: _Step, verb: Verb, *, needs: tuple[str, ...]) -> Operation:
    cause = "it must answer before it counts" if verb is Verb.CHECK else step.cause
    return Operation(verb, KIND, step.change.unit.name, cause, depends_on=needs, payload=step.change)


def _restore(step: _Step) -> Operation | None:
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


def _return(step: _Step, handover: Handover, previous: OwnedUnit) -> Operation:
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


def _watched(step: _Step) -> tuple[str, ...]:
    name = step.change.unit.name
    verbs = (Verb.WRITE if step.write else None, step.begin, Verb.CHECK)
    return tuple(operation_id(KIND, verb, name) for verb in verbs if verb is not None)
