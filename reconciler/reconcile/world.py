"""What was seen of the machine, for a plan to be made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.routes import BackendUse
from reconciler.core.types import Bytes, UnitName
from reconciler.kinds.route.types import RouteWorld
from reconciler.kinds.unit.types import UnitWorld


@dataclass(frozen=True, slots=True)
class World:
    """Units, and what decides how one takes over from another."""

    units: UnitWorld
    gateway: RouteWorld
    uses: Mapping[UnitName, BackendUse] = field(default_factory=dict)
    """How much those units of ours that are not wanted are used."""
    takes: Mapping[UnitName, Mapping[str, Bytes]] = field(default_factory=dict)
    """Memory of the same, by device and of `ram`, where it is known."""
