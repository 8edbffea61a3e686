"""What is wanted of the gateway, and what was seen of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.inventory import OwnedUnit
from reconciler.core.routes import Route
from reconciler.core.types import ModelId, UnitName

GATEWAY = UnitName("modelctl-gateway")
SOMEBODY = ""
"""Owner of a unit file that names none."""


@dataclass(frozen=True, slots=True)
class GatewayUnit:
    """The gateway's own unit file."""

    text: str
    config_hash: str


@dataclass(frozen=True, slots=True)
class RouteWorld:
    """Everything that planning routes looks at."""

    in_force: Mapping[ModelId, Route]
    up: bool = False
    """Whether the gateway answers."""
    installed: str | None = None
    """Configuration hash of its unit file; None without one."""
    foreign: str | None = None
    """Whose unit file that is, when it is not ours; `SOMEBODY` when it does not tell."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Ports that it holds by its routes and could not open, and why."""
    released: frozenset[ModelId] = frozenset()
    """Models whose requests it turns away, until their routes change."""
    held: Mapping[int, str] = field(default_factory=dict)
    """Wanted ports that somebody else listens on, and who; not those of runtimes of ours, which give way."""

    def sends_to(self, unit: OwnedUnit) -> bool:
        """Whether the model's requests go to this runtime."""
        route = self.in_force.get(unit.model)
        return route is not None and str(route.backend) == unit.endpoint


@dataclass(frozen=True, slots=True)
class RouteChange:
    """Payload of hold, route and restore."""

    route: Route


@dataclass(frozen=True, slots=True)
class RouteRelease:
    """Payload of release."""

    model: ModelId


@dataclass(frozen=True, slots=True)
class RouteRemoval:
    """Payload of remove."""

    model: ModelId
