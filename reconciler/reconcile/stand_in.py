"""Which of two units is to serve a configuration behind the gateway: its own, or its stand-in. Pure.

A unit that was changed by hand while requests go to it cannot be set right in place without failing some.
So each configuration has a second name: its stand-in starts beside it, takes over as any successor does, and
stays until it is changed itself.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.endpoint import SocketEndpoint
from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.routes import Route
from reconciler.core.types import ModelId, UnitName
from reconciler.kinds.route.types import RouteWorld
from reconciler.kinds.unit.compare import ALIVE, is_altered
from reconciler.kinds.unit.types import DesiredUnit, UnitWorld

_MARK_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Cast:
    """Who serves what."""

    units: tuple[DesiredUnit, ...]
    """Each wanted unit, or its stand-in."""
    routes: Mapping[UnitName, Route]
    doubted: frozenset[UnitName]
    """Units whose processes may not be what was written, and that make way for others because of it."""


def stand_in_name(name: UnitName) -> UnitName:
    """What the stand-in of a unit is called."""
    return UnitName(f"{name.rpartition('@')[0]}@{text_hash(name)[:_MARK_LENGTH]}")


def stand_in(unit: DesiredUnit) -> DesiredUnit:
    """The same configuration under another name, with a socket and a log of its own."""
    before, after = (name.removeprefix("llama@") for name in (unit.name, stand_in_name(unit.name)))

    def renamed(text: str) -> str:
        return text.replace(before, after)

    definition, endpoint = unit.definition, unit.endpoint
    return replace(
        unit,
        definition=replace(
            definition,
            name=UnitName(renamed(definition.name)),
            argv=tuple(map(renamed, definition.argv)),
            log_path=None if definition.log_path is None else renamed(definition.log_path),
        ),
        endpoint=SocketEndpoint(renamed(endpoint.path)) if isinstance(endpoint, SocketEndpoint) else endpoint,
    )


def cast(
    wanted: Iterable[DesiredUnit],
    routes: Mapping[UnitName, Route],
    units: UnitWorld,
    gateway: RouteWorld,
    covers: Callable[[ModelId], bool] = lambda _: True,
) -> Cast:
    """Choose for each wanted unit; one that is not behind the gateway, or not covered, stays as it is."""
    chosen: list[DesiredUnit] = []
    rerouted: dict[UnitName, Route] = {}
    doubted: set[UnitName] = set()
    for unit in wanted:
        one = unit
        if unit.name in routes and covers(unit.model):
            other = stand_in_name(unit.name)
            pair = _Pair(units.owned.get(unit.name), units.owned.get(other), units, gateway)
            doubted |= pair.doubted
            one = stand_in(unit) if pair.stands_in else unit
        if unit.name in routes:
            rerouted[one.name] = replace(routes[unit.name], backend=one.endpoint)
        chosen.append(one)
    return Cast(tuple(chosen), rerouted, frozenset(doubted))


def doubt(units: UnitWorld, doubted: frozenset[UnitName]) -> UnitWorld:
    """Take it for unknown what they were started with; should an apply be killed, it stays so."""
    rows = {name: replace(units.owned[name], started_hash=None) for name in doubted}
    return replace(units, owned={**units.owned, **rows}, doubted=doubted)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A unit and its stand-in, as far as they are there."""

    own: OwnedUnit | None
    other: OwnedUnit | None
    units: UnitWorld
    gateway: RouteWorld

    @property
    def doubted(self) -> set[UnitName]:
        return {one.name for one in (self.own, self.other) if one is not None and self._is_doubtful(one)}

    @property
    def stands_in(self) -> bool:
        """Who serves stays, unless it is doubtful; where neither does, the unit itself goes first."""
        other = self.other
        if other is not None and (self.own is None or self.gateway.sends_to(other)):
            return not self._is_doubtful(other)
        return self.own is not None and self._is_doubtful(self.own)

    def _is_doubtful(self, one: OwnedUnit) -> bool:
        """Requests go to it, and its file or what it was started with is not what was written."""
        seen = self.units.observed[one.name]
        if seen.status.state not in ALIVE or not self.gateway.sends_to(one):
            return False
        return is_altered(one, seen) or one.started_hash != one.config_hash
