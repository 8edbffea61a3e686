"""Decides how units of ours go. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.core.units import UnitState
from reconciler.kinds.unit.plan import KIND
from reconciler.kinds.unit.types import UnitNames, UnitStop, UnitWorld


@dataclass(frozen=True, slots=True)
class Removal:
    """A unit that goes."""

    unit: OwnedUnit
    cause: str
    after: tuple[str, ...] = ()
    """Operations that come before it."""
    when: When = When.DONE
    """Whether those must have succeeded: what replaces it must serve before it goes."""
    drain_seconds: float = 0.0


def stop_id(unit: OwnedUnit) -> str:
    """Id of the operation that stops it."""
    return operation_id(KIND, Verb.STOP, unit.name)


def runs(unit: OwnedUnit, world: UnitWorld, *, launched: bool) -> bool:
    """Whether there may be something to stop: a supervisor that is `launched` starts all units it finds."""
    seen = world.observed[unit.name]
    if not world.supervisor_running:
        return launched and seen.file_hash is not None
    return seen.status.state is not UnitState.ABSENT


def plan_stop(removal: Removal) -> Operation:
    """Stop it once its requests have ended."""
    unit = removal.unit
    return Operation(
        Verb.STOP,
        KIND,
        unit.name,
        removal.cause,
        depends_on=removal.after,
        when=removal.when,
        destructive=True,
        payload=UnitStop(unit.name, unit.endpoint, removal.drain_seconds),
    )


def plan_removals(
    removals: Sequence[Removal], world: UnitWorld, *, stopped: Collection[str] = (), launched: bool = False
) -> tuple[Operation, ...]:
    """Stop and remove units, each for its cause. `stopped` are ids of stops that the plan already holds.

    `launched` says that the plan starts the supervisor itself.
    """
    stops = {one.unit.name: plan_stop(one) for one in removals if runs(one.unit, world, launched=launched)}
    new = [stop for stop in stops.values() if stop.id not in stopped]
    gone = []
    for one in removals:
        stop = stops.get(one.unit.name)
        gone.append(
            Operation(
                Verb.REMOVE,
                KIND,
                one.unit.name,
                one.cause,
                depends_on=_before_removal(one, stop),
                when=When.SUCCESS if stop is not None else one.when,
                destructive=True,
                payload=UnitNames(removed=(one.unit.name,)),
            )
        )
    operations = [*new, *gone]
    if gone and (world.supervisor_running or launched):
        cause = f"{len(gone)} unit file{'s' if len(gone) != 1 else ''} gone"
        operations.append(
            Operation(
                Verb.RELOAD,
                KIND,
                "removed units",
                cause,
                depends_on=tuple(operation.id for operation in gone),
                when=When.DONE,
                payload=UnitNames(removed=tuple(one.unit.name for one in removals)),
            )
        )
    return tuple(operations)


def _before_removal(removal: Removal, stop: Operation | None) -> tuple[str, ...]:
    """What was stopped early, to make room, still goes only when what replaces it serves."""
    if stop is None:
        return removal.after
    return (stop.id,) if removal.when is When.DONE else (*removal.after, stop.id)


def plan_marks(
    verb: Verb, units: Iterable[tuple[OwnedUnit, str]], *, after: tuple[str, ...]
) -> list[Operation]:
    """Note of units, each for its cause, that they are not wanted any more (drain) or wanted again (keep)."""
    return [
        Operation(verb, KIND, unit.name, cause, depends_on=after, payload=UnitNames(changed=(unit.name,)))
        for unit, cause in units
    ]
