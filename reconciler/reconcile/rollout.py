"""How what is wanted takes over from what runs: who makes room, who bridges, where requests go. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.endpoint import TcpEndpoint, parse_endpoint
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, known, operation_id
from reconciler.core.plan import Refusal
from reconciler.core.routes import BackendUse, Route
from reconciler.core.types import Bytes, ModelId, UnitName
from reconciler.gpu.transition import RuntimeUse, Transition, transition
from reconciler.kinds.route.plan import plan_hold, plan_return, plan_route, plan_unroute, route_id
from reconciler.kinds.route.types import RouteWorld
from reconciler.kinds.unit.plan import ALIVE, UnitPlan
from reconciler.kinds.unit.plan import KIND as UNIT
from reconciler.kinds.unit.removal import Removal, plan_marks, plan_stop
from reconciler.kinds.unit.types import DesiredUnit, Handover
from reconciler.reconcile.prune import Left
from reconciler.reconcile.world import World

_IDLE = BackendUse(0, 0.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a rollout is decided from."""

    wanted: Sequence[DesiredUnit]
    left: Sequence[Left]
    units: UnitPlan
    """What the wanted units need by themselves."""
    world: World
    routes: Mapping[UnitName, Route]
    """Of the wanted units that are behind the gateway, and may be."""
    room: Mapping[str, Bytes]
    drain_seconds: float
    launched: tuple[str, ...] = ()
    """Operations after which the gateway can be told something."""


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
        self._by_model = {unit.model: unit for unit in scene.wanted}
        self._left = {left.unit.name: left for left in scene.left}
        self._ids = {operation.id for operation in scene.units.operations}
        self._moves = self._transition()
        self._previous = self._choose_previous()

    def plan(self) -> Rollout:
        vacated = tuple(self._left[name] for name in self._moves.vacate)
        before = [*self._give_ports_free(), *self._make_room(vacated)]
        handovers = self._handovers(before)
        after = self._after(handovers, before)
        removals, drains = self._ends(vacated, after)
        served = set(self._by_model)
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
                left.unit.name: self._by_model[left.unit.model].name
                for left in self._scene.left
                if left.unit.model in self._by_model
            },
        )

    def _transition(self) -> Transition:
        scene = self._scene
        return transition(
            [self._wanted_use(unit) for unit in scene.wanted],
            [self._left_use(left) for left in scene.left if self._runs(left.unit)],
            scene.room,
        )

    def _wanted_use(self, unit: DesiredUnit) -> RuntimeUse:
        starts = self._has(Verb.START, unit.name)
        owned = self._scene.world.units.owned.get(unit.name)
        ready = owned is not None and owned.answered and self._runs(owned) and not self._changes(unit.name)
        return RuntimeUse(unit.name, unit.model, running=not starts, ready=ready, devices=unit.takes)

    def _left_use(self, left: Left) -> RuntimeUse:
        unit = left.unit
        use = self._scene.world.uses.get(unit.name, _IDLE)
        return RuntimeUse(
            unit.name,
            unit.model,
            running=True,
            ready=True,
            requests=use.requests,
            idle=use.idle_seconds if unit.retired_at is not None else 0.0,
            linger=left.linger,
            devices=self._scene.world.takes.get(unit.name),
        )

    def _choose_previous(self) -> dict[ModelId, OwnedUnit]:
        """What a model falls back to: what requests go to now, else what runs, else the latest."""
        found: dict[ModelId, OwnedUnit] = {}
        for left in sorted(self._scene.left, key=lambda one: self._rank(one.unit)):
            if left.unit.answered:
                found[left.unit.model] = left.unit
        return found

    def _rank(self, unit: OwnedUnit) -> tuple[bool, bool, int]:
        return (self._routed_to(unit), self._runs(unit), unit.generation)

    def _make_room(self, vacated: Sequence[Left]) -> list[Operation]:
        """Nothing is stopped before what replaces it is downloaded and its file is written."""
        if not vacated:
            return []
        waiting = [unit for unit in self._scene.wanted if unit.name in self._moves.wait]
        prepared = tuple(dict.fromkeys(step for unit in waiting for step in self._prepared(unit)))
        operations: list[Operation] = []
        for left in vacated:
            unit = left.unit
            route = self._scene.world.gateway.in_force.get(unit.model)
            held: tuple[str, ...] = ()
            if route is not None and self._routed_to(unit):
                cause = f"{unit.name} makes room"
                hold = (
                    plan_hold(route, cause, after=(*prepared, *self._scene.launched))
                    if unit.model in self._by_model
                    else plan_unroute(unit.model, cause, after=prepared)
                )
                operations.append(hold)
                held = (hold.id,)
            operations.append(
                plan_stop(
                    Removal(
                        unit,
                        f"makes room: {left.cause}",
                        (*prepared, *held),
                        When.SUCCESS,
                        self._scene.drain_seconds,
                    )
                )
            )
        return operations

    def _give_ports_free(self) -> list[Operation]:
        """A runtime that listens on a port itself gets it from the gateway."""
        operations = []
        for unit in self._scene.wanted:
            route = self._scene.world.gateway.in_force.get(unit.model)
            if route is not None and unit.name not in self._scene.routes and self._starts(unit.name):
                cause = f"{unit.name} listens by itself"
                operations.append(plan_unroute(unit.model, cause, after=self._prepared(unit)))
        return operations

    def _handovers(self, before: Sequence[Operation]) -> dict[UnitName, Handover]:
        room = tuple(operation.id for operation in before if operation.verb is Verb.STOP)
        found: dict[UnitName, Handover] = {}
        for unit in self._scene.wanted:
            previous = self._previous.get(unit.model)
            after = room if unit.name in self._moves.wait else ()
            if unit.name not in self._scene.routes:
                after = (*after, *known([route_id(Verb.REMOVE, unit.model)], before))
            if self._has(Verb.START, unit.name) and (previous is not None or after):
                stopped = previous is not None and previous.name in self._moves.vacate
                revive = stopped or (previous is not None and not self._runs(previous))
                found[unit.name] = Handover(previous, after, revive)
        return found

    def _after(self, handovers: Mapping[UnitName, Handover], before: Sequence[Operation]) -> list[Operation]:
        operations: list[Operation] = []
        for unit in self._scene.wanted:
            route = self._scene.routes.get(unit.name)
            in_force = self._scene.world.gateway.in_force.get(unit.model)
            operations += self._return(unit, in_force, handovers.get(unit.name), before)
            if route is None or route == in_force or not self._will_serve(unit):
                continue
            checked = known([operation_id(UNIT, Verb.CHECK, unit.name)], self._scene.units.operations)
            needs = (*checked, *self._scene.launched)
            stops = [
                plan_stop(Removal(left.unit, "the gateway takes its port", needs, When.SUCCESS))
                for left in self._scene.left
                if left.unit.model == unit.model and self._listens_on(left.unit, route)
            ]
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

    def _ends(
        self, vacated: Sequence[Left], after: Sequence[Operation]
    ) -> tuple[tuple[Removal, ...], tuple[tuple[OwnedUnit, str], ...]]:
        """Who goes at the end, and who is only marked."""
        removals: list[Removal] = []
        drains: list[tuple[OwnedUnit, str]] = []
        for left in self._scene.left:
            unit = left.unit
            successor = self._by_model.get(unit.model)
            if successor is not None and not self._will_serve(successor):
                continue  # it is all that there is
            needs = self._serves_after(successor, after)
            lingers = self._runs(unit) and left.linger > 0 and unit.name not in self._moves.stop
            if left in vacated or not lingers:
                when = When.SUCCESS if needs else When.DONE
                removals.append(Removal(unit, left.cause, needs, when, self._scene.drain_seconds))
            elif unit.retired_at is None:
                drains.append((unit, left.cause))
        return tuple(removals), tuple(drains)

    def _serves_after(self, successor: DesiredUnit | None, after: Sequence[Operation]) -> tuple[str, ...]:
        """What must have succeeded for `successor` to have taken over."""
        if successor is None:
            return ()
        checked = known([operation_id(UNIT, Verb.CHECK, successor.name)], self._scene.units.operations)
        return (*checked, *known([route_id(Verb.ROUTE, successor.model)], after))

    def _keeps(self) -> list[Operation]:
        found = [
            (self._scene.world.units.owned[unit.name], "it is wanted again")
            for unit in self._scene.wanted
            if unit.name in self._scene.world.units.owned
            and self._scene.world.units.owned[unit.name].retired_at is not None
            and not self._changes(unit.name)
        ]
        return plan_marks(Verb.KEEP, found, after=())

    def _prepared(self, unit: DesiredUnit) -> tuple[str, ...]:
        """What comes before its start."""
        written = known([operation_id(UNIT, Verb.WRITE, unit.name)], self._scene.units.operations)
        return written or unit.needs

    def _will_serve(self, unit: DesiredUnit) -> bool:
        """It serves now, or the plan makes it."""
        if self._has(Verb.CHECK, unit.name):
            return True
        owned = self._scene.world.units.owned.get(unit.name)
        wanted = unit.definition.config_hash
        return owned is not None and owned.ready_hash == wanted and self._runs(owned)

    def _runs(self, unit: OwnedUnit) -> bool:
        return self._scene.world.units.observed[unit.name].status.state in ALIVE

    def _routed_to(self, unit: OwnedUnit) -> bool:
        route = self._scene.world.gateway.in_force.get(unit.model)
        return route is not None and str(route.backend) == unit.endpoint

    def _listens_on(self, unit: OwnedUnit, route: Route) -> bool:
        endpoint = parse_endpoint(unit.endpoint) if unit.endpoint else None
        return isinstance(endpoint, TcpEndpoint) and endpoint.port in route.ports and self._runs(unit)

    def _has(self, verb: Verb, name: UnitName) -> bool:
        return operation_id(UNIT, verb, name) in self._ids

    def _starts(self, name: UnitName) -> bool:
        return self._has(Verb.START, name) or self._has(Verb.RESTART, name)

    def _changes(self, name: UnitName) -> bool:
        return self._has(Verb.CHECK, name)


def port_refusals(routes: Mapping[UnitName, Route], gateway: RouteWorld) -> tuple[Refusal, ...]:
    """Those whose ports somebody else has."""
    refused = []
    for name, route in routes.items():
        for port in route.ports:
            holder = gateway.held.get(port)
            if holder is not None:
                refused.append(
                    Refusal(
                        name,
                        f"port {port}, which the gateway is to hold, is in use by {holder}",
                        "stop that program, or give the model another port in the spec",
                    )
                )
                break
    return tuple(refused)
