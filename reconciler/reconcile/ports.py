"""Ports that pass from one runtime of ours to another: who has to stop before who starts. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb
from reconciler.core.types import UnitName
from reconciler.kinds.unit.plan import KIND, UnitPlan
from reconciler.kinds.unit.types import DesiredUnit, UnitWorld

_BEGIN = (Verb.START, Verb.RESTART)


def port_moves(wanted: Iterable[DesiredUnit], world: UnitWorld, units: UnitPlan) -> dict[UnitName, UnitName]:
    """Who is about to start on a port → whose it is now."""
    begun = _begun(units.operations)
    return {
        unit.name: owner
        for unit in wanted
        if unit.name in begun and (owner := world.observed[unit.name].port_owner) is not None
    }


def stuck(
    moves: Mapping[UnitName, UnitName],
    wanted: Sequence[DesiredUnit],
    units: UnitPlan,
    leaving: Collection[OwnedUnit],
    kept: Collection[UnitName],
) -> dict[UnitName, tuple[str, str | None]]:
    """Those whose port will not become free, with the reason and what mends it.

    `leaving` are the units that are not wanted and go, or give way; `kept` those that the spec dropped.
    """
    begun = _begun(units.operations)
    starting = {unit.model for unit in wanted if unit.name in begun}
    served = {unit.model for unit in wanted}
    free = {unit.name for unit in leaving if unit.model in starting or unit.model not in served} | begun
    found: dict[UnitName, tuple[str, str | None]] = {}
    for unit in wanted:
        owner = moves.get(unit.name)
        if owner is not None and owner not in free:
            hint = "modelctl apply --prune" if owner in kept else "give the model another port in the spec"
            found[unit.name] = (f"its address {unit.endpoint} is in use by {owner}, which stays", hint)
    return found


def _begun(operations: Iterable[Operation]) -> set[UnitName]:
    return {UnitName(step.resource) for step in operations if step.kind == KIND and step.verb in _BEGIN}
