"""Decides what happens to units. Pure: from what is wanted and what was seen to operations with causes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.core.plan import Refusal
from reconciler.core.types import ModelId, UnitName
from reconciler.core.units import UnitState
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.render import render
from reconciler.kinds.unit.types import DesiredUnit, ObservedUnit, UnitChange, UnitNames, UnitWorld

KIND = "unit"
_ALIVE = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """Operations in an order in which they can run, and what is left alone."""

    operations: tuple[Operation, ...]
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """What one unit needs."""

    change: UnitChange
    cause: str
    write: bool
    begin: Verb | None
    """START, RESTART, or None when it already starts and only its readiness is awaited."""
    needs: tuple[str, ...]


def plan_units(
    desired: Sequence[DesiredUnit], world: UnitWorld, *, resume: Collection[ModelId] = ()
) -> UnitPlan:
    """Compare each wanted unit with what is there; a unit that is as wanted yields nothing.

    One that a person stopped stays stopped, unless its model is in `resume`.
    """
    steps: list[_Step] = []
    refused: list[Refusal] = []
    warnings: list[str] = []
    for unit in desired:
        outcome = _compare(unit, world, resume=unit.model in resume)
        if isinstance(outcome, _Step):
            steps.append(outcome)
        elif isinstance(outcome, Refusal):
            refused.append(outcome)
        elif outcome is not None:
            warnings.append(outcome)
    return UnitPlan(tuple(_operations(steps, world)), tuple(refused), tuple(warnings))


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
            return _unchanged(unit, owned, seen, world, resume=resume)
    if unit.blocked is not None:
        return Refusal(unit.name, *unit.blocked)
    if seen.port_holder is not None:
        return Refusal(
            unit.name,
            f"its address {unit.endpoint} is in use by {seen.port_holder}",
            "stop that program, or give the model another port in the spec",
        )
    if owned is None or seen.file_hash is None:
        cause = "not installed" if owned is None else "its unit file is gone"
    elif owned.config_hash == wanted:
        cause = "written but not started: the last apply was interrupted"
    else:
        cause = _what_changed(unit, owned)
    return _change(unit, world, cause=cause)


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
    if state in _ALIVE:
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
    alive = world.observed[unit.name].status.state in _ALIVE
    return _Step(
        change=UnitChange(new, previous, unit.embedding, unit.ready_seconds, definition.memory_limit),
        cause=cause,
        write=True,
        begin=Verb.RESTART if alive else Verb.START,
        needs=unit.needs,
    )


def _begin(unit: DesiredUnit, owned: OwnedUnit, verb: Verb | None, cause: str) -> _Step:
    change = UnitChange(owned, None, unit.embedding, unit.ready_seconds, unit.definition.memory_limit)
    return _Step(change, cause, write=False, begin=verb, needs=unit.needs)


def _what_changed(unit: DesiredUnit, owned: OwnedUnit) -> str:
    if owned.version != unit.version:
        return f"version {owned.version} → {unit.version}"
    if owned.endpoint != str(unit.endpoint):
        return f"address {owned.endpoint} → {unit.endpoint}"
    return "its settings changed"


def _operations(steps: Sequence[_Step], world: UnitWorld) -> list[Operation]:
    """Phases over all units: files, one reload, starts, checks, and what happens when a check fails."""
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
    if told:
        operations.append(reload)
    for step in steps:
        if step.begin is not None:
            own = operation_id(KIND, Verb.WRITE, step.change.unit.name)
            needs = (*((own,) if step.write else step.needs), *((reload.id,) if told else ()))
            operations.append(_operation(step, step.begin, needs=needs))
    for step in steps:
        begun = () if step.begin is None else (operation_id(KIND, step.begin, step.change.unit.name),)
        operations.append(_operation(step, Verb.CHECK, needs=begun))
    operations += [restore for step in steps if (restore := _restore(step)) is not None]
    return operations


def _operation(step: _Step, verb: Verb, *, needs: tuple[str, ...]) -> Operation:
    cause = "it must answer before it counts" if verb is Verb.CHECK else step.cause
    return Operation(verb, KIND, step.change.unit.name, cause, depends_on=needs, payload=step.change)


def _restore(step: _Step) -> Operation | None:
    """A replaced unit that does not become ready gives way to the one that answered before."""
    previous = step.change.previous
    if not step.write or previous is None:
        return None
    name = step.change.unit.name
    watched = tuple(operation_id(KIND, verb, name) for verb in (Verb.WRITE, step.begin, Verb.CHECK) if verb)
    return Operation(
        Verb.RESTORE,
        KIND,
        name,
        f"only if that fails: back to version {previous.version} of generation {previous.generation}",
        depends_on=watched,
        when=When.FAILURE,
        payload=replace(step.change, unit=previous),
    )


def plan_removals(
    causes: Mapping[UnitName, str], world: UnitWorld, *, after: tuple[str, ...]
) -> list[Operation]:
    """Stop and remove units of ours, each for its cause, after everything else has been done."""
    stops = {
        name: Operation(
            Verb.STOP,
            KIND,
            name,
            cause,
            depends_on=after,
            when=When.DONE,
            destructive=True,
            payload=UnitNames(removed=(name,)),
        )
        for name, cause in causes.items()
        if world.supervisor_running and world.observed[name].status.state is not UnitState.ABSENT
    }
    removals = [
        Operation(
            Verb.REMOVE,
            KIND,
            name,
            cause,
            depends_on=(stops[name].id,) if name in stops else after,
            when=When.SUCCESS if name in stops else When.DONE,
            destructive=True,
            payload=UnitNames(removed=(name,)),
        )
        for name, cause in causes.items()
    ]
    operations = [*stops.values(), *removals]
    if removals and world.supervisor_running:
        cause = f"{len(removals)} unit file{'s' if len(removals) != 1 else ''} gone"
        needs = tuple(operation.id for operation in removals)
        names = UnitNames(removed=tuple(causes))
        operations.append(
            Operation(
                Verb.RELOAD, KIND, "removed units", cause, depends_on=needs, when=When.DONE, payload=names
            )
        )
    return operations
