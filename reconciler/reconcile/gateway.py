"""Looks at the gateway: what it routes, whether it is up, and who has the ports that it is to hold."""

from collections.abc import Mapping
from pathlib import Path

from reconciler.core.endpoint import TcpEndpoint, parse_endpoint
from reconciler.core.errors import FormatError
from reconciler.core.routes import Route
from reconciler.core.types import ModelId, UnitName
from reconciler.host import gateway
from reconciler.host.ports import holder
from reconciler.host.state import State
from reconciler.kinds.route.types import GATEWAY, SOMEBODY, RouteWorld
from reconciler.kinds.unit.ownership import ownership_of
from reconciler.reconcile.site import Site

LOOPBACK = "127.0.0.1"


def observe_gateway(site: Site, state: State, wanted: Mapping[UnitName, Route]) -> RouteWorld:
    """Where nothing goes through it, and nothing is to, two looks at the file system are all."""
    snapshot = Path(site.places.gateway_snapshot)
    path = site.supervisor.unit_path(GATEWAY)
    if not wanted and not snapshot.exists() and not path.exists():
        return RouteWorld({})
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else None
    mark = None if text is None else ownership_of(text, site.supervisor_kind)
    ours = mark is not None and mark.owner == site.owner
    status = gateway.status(Path(site.places.gateway_control))
    in_force = _saved(snapshot) if status is None else status.routes
    open_ports = set()
    if status is not None:
        open_ports = {port for route in in_force.values() for port in route.ports} - set(status.refused)
    own = {
        endpoint.port
        for unit in state.units().values()
        if unit.endpoint and isinstance(endpoint := parse_endpoint(unit.endpoint), TcpEndpoint)
    }
    return RouteWorld(
        in_force=in_force,
        up=status is not None,
        installed=mark.config_hash if mark is not None and ours else None,
        foreign=None if text is None or ours else (mark.owner if mark is not None else SOMEBODY),
        refused=status.refused if status is not None else {},
        released=status.released if status is not None else frozenset(),
        held={
            port: found
            for route in wanted.values()
            for port in route.ports
            if port not in open_ports and port not in own and (found := holder(LOOPBACK, port)) is not None
        },
    )


def _saved(snapshot: Path) -> Mapping[ModelId, Route]:
    """What a gateway that is down would route. A damaged file says nothing, so that it is written anew."""
    try:
        return gateway.read_snapshot(snapshot).routes
    except FormatError:
        return {}
