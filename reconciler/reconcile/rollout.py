"""How what is wanted takes over from what runs: who makes room, who bridges, where requests go. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from reconciler.core.endpoint import parse_endpoint
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, ids_of, known, operation_id
from reconciler.core.routes import Route
from reconciler.core.types import ModelId, UnitName
from reconciler.kinds.route.plan import (
    plan_hold,
    plan_release,
    plan_return,
    plan_route,
    plan_unroute,
    route_id,
)
from reconciler.kinds.unit.plan import KIND as UNIT
from reconciler.kinds.unit.removal import Removal, plan_marks, plan_stop, stop_id
from reconciler.kinds.unit.types import DesiredUnit, Handover
from reconciler.reconcile.scene import Scene


@dataclass(frozen=True, slots=True)
class Rollout:
    """Operations around the starts of a plan, each group in an order in which it can run."""

    handovers: Mapping[UnitName, Handover]
    before: tuple[Operation, ...] = ()
    """Requests wait, ports are given free, runtimes make room."""
    after: tuple[Operation, ...] = ()
    """Requests go to what is ready."""
    marks: tuple[Operation, ...] = ()
    """Who is wanted again."""
    removals: tuple[Removal, ...] = ()
    """Who goes once the generation is recorded."""
    drains: tuple[tuple[OwnedUnit, str], ...] = ()
    """Who is not wanted any more, and kept for a while."""
    unrouted: tuple[tuple[ModelId, str], ...] = ()
    """Models that nothing serves any more."""
    successors: Mapping[UnitName, UnitName] = field(default_factory=dict)
    """Who replaces whom: old → new."""


def plan_rollout(scene: Scene) -> Rollout:
    """Decide it all. The old runtime of a model serves until its successor is ready, wherever both fit."""
    return _Rollout(scene).plan()


class _Rollout:
    """One decision, taken apart."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._left = {left.unit.name: left for left in scene.left}

    def plan(self) -> Rollout:
        freed = self._give_ports_free()
        before = [*freed, *self._make_room({operation.resource: operation.id for operation in freed})]
        before += self._pass_ports(before)
        handovers = self._handovers(before)
        after = self._after(handovers, before)
        after += self._releases(before, after)
        removals, drains = self._ends(before, after)
        served = set(self._scene.by_model)
        return Rollout(
            handovers=handovers,
            before=tuple(before),
            after=tuple(after),
            marks=tuple(self._keeps()),
            removals=removals,
            drains=drains,
            unrouted=tuple(
                (model, "nothing serves it any more")
                for model in self._scene.world.gateway.in_force
                if model not in served
                and any(left.unit.model == model for left in self._scene.left)
                and route_id(Verb.REMOVE, model) not in {operation.id for operation in before}
            ),
            successors={
                left.unit.name: self._scene.by_model[left.unit.model].name
                for left in self._scene.left
                if left.unit.model in self._scene.by_model
            },
        )

    def _make_room(self, unrouted: Mapping[str, str]) -> list[Operation]:
        """Nothing is stopped before what replaces it is downloaded and its file is written.

        `unrouted` are models that are taken from the gateway already, and by which operation.
        """
        needed_by: dict[UnitName, DesiredUnit] = {}
        for late in self._scene.wanted:
            for name in self._scene.moves.wait.get(late.name, ()):
                needed_by.setdefault(name, late)
        operations: list[Operation] = []
        for name, late in needed_by.items():
            left = self._left[name]
            unit = left.unit
            successor = self._scene.by_model.get(unit.model)
            prepared = (*self._scene.prepared(late), *(self._scene.prepared(successor) if successor else ()))
            waits = tuple(dict.fromkeys(prepared))
            if unit.model in unrouted:
                waits = (*waits, unrouted[unit.model])
            elif self._scene.world.gateway.sends_to(unit):
                hold = self._hold(unit, successor, waits)
                operations.append(hold)
                waits = (*waits, hold.id)
            cause = f"makes room: {left.cause}"
            operations.append(plan_stop(Removal(unit, cause, waits, When.SUCCESS, self._scene.drain_seconds)))
        return operations

    def _pass_ports(self, before: Sequence[Operation]) -> list[Operation]:
        """Who has a port that another one gets stops first, unless it does so anyway."""
        operations: list[Operation] = []
        stopped = {operation.id for operation in before}
        for late in self._scene.wanted:
            owner = self._scene.ports.get(late.name)
            if owner is None or operation_id(UNIT, Verb.STOP, owner) in stopped:
                continue
            own = [unit for unit in self._scene.wanted if unit.name == owner]
            waits = dict.fromkeys(step for unit in (late, *own) for step in self._scene.prepared(unit))
            unit = self._scene.world.units.owned[owner]
            cause = f"{late.name} gets its port"
            stop = Removal(unit, cause, tuple(waits), When.SUCCESS, self._scene.drain_seconds)
            operations.append(plan_stop(stop))
        return operations

    def _hold(self, unit: OwnedUnit, successor: DesiredUnit | None, after: tuple[str, ...]) -> Operation:
        """Its requests wait for its successor; where there is none, they are taken no more."""
        cause = f"{unit.name} makes room"
        if successor is None:
            return plan_unroute(unit.model, cause, after=after)
        route = self._scene.world.gateway.in_force[unit.model]
        return plan_hold(route, cause, after=(*after, *self._scene.launched))

    def _give_ports_free(self) -> list[Operation]:
        """A runtime that listens on a port itself gets it from the gateway."""
        operations = []
        for unit in self._scene.wanted:
            route = self._scene.world.gateway.in_force.get(unit.model)
            if route is not None and unit.name not in self._scene.routes and self._scene.starts(unit.name):
                cause = f"{unit.name} listens by itself"
                operations.append(plan_unroute(unit.model, cause, after=self._scene.prepared(unit)))
        return operations

    def _handovers(self, before: Sequence[Operation]) -> dict[UnitName, Handover]:
        stops = {operation.resource: operation.id for operation in before if operation.verb is Verb.STOP}
        found: dict[UnitName, Handover] = {}
        for unit in self._scene.wanted:
            if not self._scene.starts(unit.name) and not self._scene.is_unproven(unit):
                continue
            previous = self._scene.previous.get(unit.model) if self._scene.is_unproven(unit) else None
            names = (
                *self._scene.moves.wait.get(unit.name, ()),
                *((previous.name,) if previous else ()),
                *((self._scene.ports[unit.name],) if unit.name in self._scene.ports else ()),
                unit.name,
            )
            after = tuple(dict.fromkeys(stops[name] for name in names if name in stops))
            if unit.name not in self._scene.routes:
                after = (*after, *known([route_id(Verb.REMOVE, unit.model)], ids_of(before)))
            if previous is not None or after:
                revive = previous is not None and (previous.name in stops or not self._scene.runs(previous))
                found[unit.name] = Handover(previous, after, revive, stopped=unit.name in stops)
        return found

    def _after(self, handovers: Mapping[UnitName, Handover], before: Sequence[Operation]) -> list[Operation]:
        operations: list[Operation] = []
        for unit in self._scene.wanted:
            route = self._scene.routes.get(unit.name)
            in_force = self._scene.world.gateway.in_force.get(unit.model)
            operations += self._return(unit, in_force, handovers.get(unit.name), before)
            if route is None or route == in_force or not self._scene.will_serve(unit):
                continue
            checked = known([operation_id(UNIT, Verb.CHECK, unit.name)], self._scene.ids)
            held = known([route_id(Verb.HOLD, unit.model)], ids_of(before))
            needs = (*checked, *held, *self._scene.launched)
            stopped = {operation.id for operation in before}
            yielding = [
                plan_stop(
                    Removal(
                        left.unit,
                        "the gateway takes its port",
                        needs,
                        When.SUCCESS,
                        self._scene.drain_seconds,
                    )
                )
                for left in self._scene.left
                if left.unit.model == unit.model and self._scene.listens_on(left.unit, route)
            ]
            stops = [stop for stop in yielding if stop.id not in stopped]
            cause = "to the gateway" if in_force is None else f"{unit.name} answers"
            operations += stops
            operations.append(
                plan_route(route, cause, after=(*needs, *(operation.id for operation in stops)))
            )
        return operations

    def _return(
        self,
        unit: DesiredUnit,
        in_force: Route | None,
        handover: Handover | None,
        before: Sequence[Operation],
    ) -> list[Operation]:
        """Requests that were made to wait go back to what was brought back."""
        touched = {route_id(Verb.HOLD, unit.model), route_id(Verb.REMOVE, unit.model)}
        stuck = in_force is not None and in_force.backend is None
        if in_force is None or handover is None or handover.previous is None:
            return []
        if not stuck and touched.isdisjoint(operation.id for operation in before):
            return []
        back = Route(
            unit.model, in_force.ports, parse_endpoint(handover.previous.endpoint), in_force.hold_seconds
        )
        return [plan_return(back, after=(operation_id(UNIT, Verb.RESTORE, unit.name),))]

    def _releases(self, before: Sequence[Operation], after: Sequence[Operation]) -> list[Operation]:
        """Nobody waits on for what failed, and was not brought back."""
        planned = {operation.id: operation for operation in (*before, *after)}
        operations = []
        for unit in self._scene.wanted:
            in_force = self._scene.world.gateway.in_force.get(unit.model)
            stuck = in_force is not None and in_force.backend is None
            route = planned.get(route_id(Verb.ROUTE, unit.model))
            back = planned.get(route_id(Verb.RESTORE, unit.model))
            if not stuck and route_id(Verb.HOLD, unit.model) not in planned:
                continue
            needs = (*(back.depends_on if back else ()), *(one.id for one in (back, route) if one))
            yielding = [one for one in route.depends_on if one in planned] if route else []
            if needs:
                operations.append(plan_release(unit.model, after=(*yielding, *needs)))
        return operations

    def _ends(
        self, before: Sequence[Operation], after: Sequence[Operation]
    ) -> tuple[tuple[Removal, ...], tuple[tuple[OwnedUnit, str], ...]]:
        """Who goes at the end, and who is only marked."""
        planned = {operation.id for operation in (*before, *after)}
        removals: list[Removal] = []
        drains: list[tuple[OwnedUnit, str]] = []
        for left in self._scene.left:
            unit = left.unit
            if self._scene.is_all_there_is(unit) or self._stays_in_use(unit, planned):
                continue
            needs = self._serves_after(self._scene.by_model.get(unit.model), after)
            lingers = self._scene.runs(unit) and left.linger > 0 and unit.name not in self._scene.moves.stop
            if stop_id(unit) in planned or not lingers:
                when = When.SUCCESS if needs else When.DONE
                removals.append(Removal(unit, left.cause, needs, when, self._scene.drain_seconds))
            elif unit.retired_at is None:
                drains.append((unit, left.cause))
        return tuple(removals), tuple(drains)

    def _stays_in_use(self, unit: OwnedUnit, planned: AbstractSet[str]) -> bool:
        """Requests for a wanted model go to it, and nothing in the plan leads them elsewhere."""
        if unit.model not in self._scene.by_model or not self._scene.world.gateway.sends_to(unit):
            return False
        return planned.isdisjoint(route_id(verb, unit.model) for verb in (Verb.HOLD, Verb.ROUTE, Verb.REMOVE))

    def _serves_after(self, successor: DesiredUnit | None, after: Sequence[Operation]) -> tuple[str, ...]:
        """What must have succeeded for `successor` to have taken over."""
        if successor is None:
            return ()
        checked = known([operation_id(UNIT, Verb.CHECK, successor.name)], self._scene.ids)
        return (*checked, *known([route_id(Verb.ROUTE, successor.model)], ids_of(after)))

    def _keeps(self) -> list[Operation]:
        found = [
            (self._scene.world.units.owned[unit.name], "it is wanted again")
            for unit in self._scene.wanted
            if unit.name in self._scene.world.units.owned
            and self._scene.world.units.owned[unit.name].retired_at is not None
            and not self._scene.changes(unit.name)
        ]
        return plan_marks(Verb.KEEP, found, after=())
