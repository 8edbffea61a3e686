"""How much a runtime is used, and what it takes: for those that are to give way."""

import time
from collections.abc import Mapping
from pathlib import Path

from reconciler.core.endpoint import Endpoint, parse_endpoint
from reconciler.core.inventory import OwnedUnit
from reconciler.core.routes import BackendUse
from reconciler.core.types import Bytes
from reconciler.host import gateway
from reconciler.host.memory import host_memory
from reconciler.host.overrides_cache import read_placement
from reconciler.host.slots import slots
from reconciler.host.state import State
from reconciler.kinds.placement.document import file_name, parse
from reconciler.reconcile.desired import ActiveProfile
from reconciler.reconcile.gpu_watch import own_use
from reconciler.reconcile.site import Site
from reconciler.spec.model import Spec


def use_of(site: Site, unit: OwnedUnit) -> BackendUse:
    """What it answers now, and since when it is idle: never longer than since it ceased to be wanted."""
    if not unit.endpoint:
        return BackendUse(0, 0.0)
    idle = 0.0 if unit.retired_at is None else max(0.0, time.time() - unit.retired_at)
    seen = _seen_by_gateway(site, unit.endpoint)
    if seen is not None:
        return BackendUse(seen.requests, min(idle, seen.idle_seconds))
    requests = _requests(parse_endpoint(unit.endpoint))
    return BackendUse(requests, 0.0 if requests else idle)


def requests_at(site: Site, endpoint: Endpoint) -> int:
    """How many requests it is answering."""
    seen = _seen_by_gateway(site, str(endpoint))
    return _requests(endpoint) if seen is None else seen.requests


def _requests(endpoint: Endpoint) -> int:
    found = slots(endpoint)
    return 0 if found is None else found.requests


def room(spec: Spec, active: ActiveProfile, site: Site, state: State) -> Mapping[str, Bytes]:
    """Memory that is free now, above the reserve, by device of the profile and of `ram`.

    Apple's unified memory is RAM. An RPC server serves one client at a time: one that a runtime of ours uses
    has no room until that is gone.
    """
    reserve = spec.settings.reserve
    ram = host_memory().available - reserve.ram
    found = {gpu.uuid: Bytes(max(0, gpu.free - reserve.vram)) for gpu in active.gpus}
    servers = spec.profiles[active.name].rpc if active.name is not None else ()
    if servers:
        placed = own_use(site, state).placed
        found |= {
            server.address: Bytes(0) if placed.get(server.address) else server.vram for server in servers
        }
    return {**found, "ram": Bytes(max(0, ram))}


def takes_of(site: Site, unit: OwnedUnit) -> Mapping[str, Bytes]:
    """Its memory by device and of `ram`, as it was placed; empty where that is not known."""
    record = parse(read_placement(site.overrides_cache / file_name(unit.placed_as)) or "")
    if record is None:
        return {}
    return {**{part.id: part.total for part in record.devices}, "ram": record.ram.total}


def _seen_by_gateway(site: Site, endpoint: str) -> BackendUse | None:
    control = Path(site.places.gateway_control)
    status = gateway.status(control) if control.exists() else None
    return None if status is None else status.backends.get(endpoint)
