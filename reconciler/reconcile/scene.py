"""What a rollout is decided from: what is wanted, what is left over, and what was seen of both. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from reconciler.core.endpoint import TcpEndpoint, parse_endpoint
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Verb, ids_of, known, operation_id
from reconciler.core.routes import BackendUse, Route
from reconciler.core.types import Bytes, ModelId, UnitName
from reconciler.gpu.transition import RuntimeUse, Transition, transition
from reconciler.kinds.unit.compare import ALIVE
from reconciler.kinds.unit.plan import KIND as UNIT
from reconciler.kinds.unit.plan import UnitPlan
from reconciler.kinds.unit.removal import runs as may_stop
from reconciler.kinds.unit.types import DesiredUnit
from reconciler.reconcile.prune import Left
from reconciler.reconcile.world import World

_IDLE = BackendUse(0, 0.0)


@dataclass(frozen=True)
class Scene:
    """What a rollout is decided from, and what it asks of it again and again."""

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
    ports: Mapping[UnitName, UnitName] = field(default_factory=dict)
    """Who is to start on a port → whose it is now."""

    @cached_property
    def by_model(self) -> Mapping[ModelId, DesiredUnit]:
        return {unit.model: unit for unit in self.wanted}

    @cached_property
    def ids(self) -> frozenset[str]:
        """Operations that the wanted units need by themselves."""
        return ids_of(self.units.operations)

    @cached_property
    def moves(self) -> Transition:
        """Who starts, who waits for whom, who goes."""
        left = [one for one in self.left if self.runs(one.unit) and not self.is_all_there_is(one.unit)]
        return transition(
            [self._wanted_use(unit) for unit in self.wanted],
            [self._left_use(one) for one in left],
            self.room,
        )

    def is_all_there_is(self, unit: OwnedUnit) -> bool:
        """Its model is wanted, and nothing is about to serve it instead: it is left alone."""
        successor = self.by_model.get(unit.model)
        return successor is not None and not self.will_serve(successor)

    def _wanted_use(self, unit: DesiredUnit) -> RuntimeUse:
        alive = self.world.units.observed[unit.name].status.state in ALIVE
        starts = self.starts(unit.name) and not alive
        owned = self.world.units.owned.get(unit.name)
        ready = owned is not None and owned.answered and self.runs(owned) and not self.changes(unit.name)
        return RuntimeUse(unit.name, unit.model, running=not starts, ready=ready, devices=unit.takes)

    def _left_use(self, left: Left) -> RuntimeUse:
        unit = left.unit
        use = self.world.uses.get(unit.name, _IDLE)
        return RuntimeUse(
            unit.name,
            unit.model,
            running=True,
            ready=True,
            requests=use.requests,
            idle=use.idle_seconds if unit.retired_at is not None else 0.0,
            linger=left.linger,
            devices=self.world.takes.get(unit.name),
        )

    @cached_property
    def previous(self) -> dict[ModelId, OwnedUnit]:
        """What a model falls back to: what requests go to now, else what runs, else the latest."""
        found: dict[ModelId, OwnedUnit] = {}
        for left in sorted(self.left, key=lambda one: self._rank(one.unit)):
            if left.unit.answered or self.world.gateway.sends_to(left.unit):
                found[left.unit.model] = left.unit
        return found

    def _rank(self, unit: OwnedUnit) -> tuple[bool, bool, int]:
        return (self.world.gateway.sends_to(unit), self.runs(unit), unit.generation)

    def is_unproven(self, unit: DesiredUnit) -> bool:
        """It is started, or was before an apply was killed, and has no way back of its own."""
        if self.has(Verb.START, unit.name):
            return True
        own = self.world.units.last_ready.get(unit.name)
        owned = self.world.units.owned.get(unit.name)
        return self.changes(unit.name) and own is None and not (owned is not None and owned.answered)

    def prepared(self, unit: DesiredUnit) -> tuple[str, ...]:
        """What comes before its start: its file, known to the supervisor, and what that file needs."""
        written = known([operation_id(UNIT, Verb.WRITE, unit.name)], self.ids)
        read = (operation.id for operation in self.units.files if operation.verb is Verb.RELOAD)
        return (*(written or unit.needs), *read)

    def will_serve(self, unit: DesiredUnit) -> bool:
        """It serves now, or the plan makes it."""
        if self.has(Verb.CHECK, unit.name):
            return True
        owned = self.world.units.owned.get(unit.name)
        wanted = unit.definition.config_hash
        return owned is not None and owned.ready_hash == wanted and self.runs(owned)

    def runs(self, unit: OwnedUnit) -> bool:
        return self.world.units.observed[unit.name].status.state in ALIVE

    def listens_on(self, unit: OwnedUnit, route: Route) -> bool:
        endpoint = parse_endpoint(unit.endpoint) if unit.endpoint else None
        launched = any(operation.verb is Verb.LAUNCH for operation in self.units.files)
        there = may_stop(unit, self.world.units, launched=launched)
        return isinstance(endpoint, TcpEndpoint) and endpoint.port in route.ports and there

    def has(self, verb: Verb, name: UnitName) -> bool:
        return operation_id(UNIT, verb, name) in self.ids

    def starts(self, name: UnitName) -> bool:
        return self.has(Verb.START, name) or self.has(Verb.RESTART, name)

    def changes(self, name: UnitName) -> bool:
        return self.has(Verb.CHECK, name)
