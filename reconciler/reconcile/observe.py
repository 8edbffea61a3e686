"""Looks at the machine, and changes nothing."""

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.endpoint import TcpEndpoint, parse_endpoint
from reconciler.core.errors import FormatError
from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.core.units import SupervisorKind, UnitState, UnitStatus
from reconciler.host.ports import holder
from reconciler.host.state import State
from reconciler.host.supervisors.base import Supervisor
from reconciler.host.templates import unit_template
from reconciler.kinds.unit.executed import executed
from reconciler.kinds.unit.ownership import ownership_of
from reconciler.kinds.unit.types import UNIT_MODE, DesiredUnit, ObservedUnit, UnitWorld
from reconciler.reconcile.desired import socket_of
from reconciler.reconcile.gateway import observe_gateway
from reconciler.reconcile.plan import Desired
from reconciler.reconcile.site import Site
from reconciler.reconcile.stand_in import cast, stand_in, stand_in_name
from reconciler.reconcile.usage import takes_of, use_of
from reconciler.reconcile.world import World

_SERVING = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)


def observe(site: Site, state: State, desired: Desired) -> World:
    """Everything that planning looks at, but for artifacts."""
    gateway = observe_gateway(site, state, desired.routes)
    ports = {port for route in gateway.in_force.values() for port in route.ports}
    units = _units(site, state, desired, ports)
    wanted = {unit.name for unit in cast(desired.units, desired.routes, units, gateway).units}
    left = [
        unit
        for name, unit in units.owned.items()
        if name not in wanted and units.observed[name].status.state in _SERVING
    ]
    return World(
        units,
        gateway,
        uses={unit.name: use_of(site, unit) for unit in left},
        takes={unit.name: taken for unit in left if (taken := takes_of(site, unit))},
    )


def _units(site: Site, state: State, desired: Desired, ours: Collection[int]) -> UnitWorld:
    """Units, in one call to the supervisor. `ours` are ports that the gateway holds."""
    supervisor = site.supervisor
    running = supervisor.is_running()
    wanted = {unit.name: unit for unit in desired.units}
    others = {name: stand_in_name(name) for name in wanted if name in desired.routes}
    files = _files(supervisor, {*wanted, *supervisor.installed(), *state.units()})
    standing = {other: stand_in(wanted[name]) for name, other in others.items() if other in files}
    owned = _with_lost(state.units(), files, {**standing, **wanted}, site)
    needed = {
        other
        for name, other in others.items()
        if name in owned and not _is_unchanged(owned[name], files.get(name))
    }
    names = sorted({*wanted, *owned, *needed})
    statuses = supervisor.observe(names) if running else {}
    ports = _ports(owned.values(), statuses)
    observed: dict[UnitName, ObservedUnit] = {}
    for name in names:
        status = statuses.get(name, UnitStatus(name, UnitState.ABSENT))
        file = files.get(name)
        text = None if file is None else file.text
        mark = None if text is None else ownership_of(text, site.supervisor_kind)
        observed[name] = ObservedUnit(
            status=status,
            file_hash=None if text is None else text_hash(text),
            file_owner=None if mark is None else mark.owner,
            as_written=text is not None and _is_as_written(text, owned.get(name), site.supervisor_kind),
            access=None if file is None else file.access,
            port_holder=_port_holder(wanted.get(name), owned.get(name), status, {*ours, *ports}),
            port_owner=_port_owner(wanted.get(name), ports),
        )
    latest = state.generation()
    return UnitWorld(
        supervisor=site.supervisor_kind,
        supervisor_running=running,
        template=unit_template(site.supervisor_kind),
        owner=site.owner,
        generation=(latest.number if latest else 0) + 1,
        owned=owned,
        last_ready={unit.name: unit for unit in (latest.units if latest else ()) if unit.answered},
        observed=observed,
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A unit's file as it is."""

    text: str
    access: str | None
    """What is wrong with its mode or owner."""


def _files(supervisor: Supervisor, names: Iterable[UnitName]) -> dict[UnitName, _File]:
    found: dict[UnitName, _File] = {}
    for name in names:
        path = supervisor.unit_path(name)
        try:
            found[name] = _File(path.read_text(encoding="utf-8"), _wrong_access(path))
        except FileNotFoundError:
            continue
        except UnicodeDecodeError as error:
            raise FormatError(
                f"the unit file {path} is not UTF-8", hint=f"look at it, then remove it: rm {path}"
            ) from error
    return found


def _wrong_access(path: Path) -> str | None:
    """Whom a file belongs to says who may change what runs: us, root, or whoever has the folder."""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode != UNIT_MODE:
        return f"the mode of its unit file is {mode:04o} instead of {UNIT_MODE:04o}"
    if found.st_uid not in {0, os.geteuid()} and found.st_uid != path.parent.stat().st_uid:
        return f"its unit file belongs to user {found.st_uid}"
    return None


def _is_unchanged(owned: OwnedUnit, file: _File | None) -> bool:
    return file is not None and file.text == owned.text and owned.started_hash == owned.config_hash


def _is_as_written(text: str, owned: OwnedUnit | None, kind: SupervisorKind) -> bool:
    if owned is None:
        return False
    return text == owned.text or executed(text, kind) == executed(owned.text, kind)


def _with_lost(
    known: Mapping[UnitName, OwnedUnit],
    files: Mapping[UnitName, _File],
    wanted: Mapping[UnitName, DesiredUnit],
    site: Site,
) -> dict[UnitName, OwnedUnit]:
    """The inventory, and the units whose file says that they are ours though the inventory lost them."""
    owned = dict(known)
    for name, file in files.items():
        mark = ownership_of(file.text, site.supervisor_kind)
        if name in owned or mark is None or mark.owner != site.owner:
            continue
        unit = wanted.get(name)
        model, _, profile = name.removeprefix("llama@").partition("@")[0].rpartition("-")
        owned[name] = OwnedUnit(
            name=name,
            model=unit.model if unit else ModelId(model),
            version=unit.version if unit else VersionId("unknown"),
            profile=unit.profile if unit else ProfileName(profile),
            endpoint=str(unit.endpoint if unit else _own_socket(name, site)),
            config_hash=mark.config_hash,
            text=file.text,
            started_hash=mark.config_hash,
            ready_hash=None,
            generation=mark.generation,
        )
    return owned


def _own_socket(name: UnitName, site: Site) -> str:
    """Where a unit whose name has a mark listens; of others the name does not tell."""
    return str(socket_of(name, site.places)) if "@" in name.removeprefix("llama@") else ""


def _ports(owned: Iterable[OwnedUnit], statuses: Mapping[UnitName, UnitStatus]) -> dict[int, UnitName]:
    """Ports on which runtimes of ours listen."""
    found = {}
    for unit in owned:
        endpoint = parse_endpoint(unit.endpoint) if unit.endpoint else None
        status = statuses.get(unit.name)
        if isinstance(endpoint, TcpEndpoint) and status is not None and status.state in _SERVING:
            found[endpoint.port] = unit.name
    return found


def _port_owner(unit: DesiredUnit | None, ports: Mapping[int, UnitName]) -> UnitName | None:
    if unit is None or not isinstance(unit.endpoint, TcpEndpoint):
        return None
    owner = ports.get(unit.endpoint.port)
    return None if owner == unit.name else owner


def _port_holder(
    unit: DesiredUnit | None, owned: OwnedUnit | None, status: UnitStatus, ours: Collection[int]
) -> str | None:
    """Who sits on the port that this unit wants; nobody, where the unit itself may be the one."""
    if unit is None or not isinstance(unit.endpoint, TcpEndpoint) or unit.endpoint.port in ours:
        return None
    if status.state in _SERVING and owned is not None and owned.endpoint == str(unit.endpoint):
        return None
    return holder(unit.endpoint.host, unit.endpoint.port)
