"""What is running now, held against what was applied and what is wanted."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.conditions import Condition
from reconciler.core.endpoint import TcpEndpoint, parse_endpoint
from reconciler.core.errors import ModelctlError
from reconciler.core.inventory import OwnedUnit
from reconciler.core.plan import Plan, Revision
from reconciler.core.routes import Route
from reconciler.core.units import UnitState, UnitStatus
from reconciler.host.health import Health
from reconciler.host.health import look as look_at
from reconciler.host.processes import resident_bytes
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.reconcile import conditions
from reconciler.reconcile.announce import APPLIED, ATTEMPTED
from reconciler.reconcile.gateway import LOOPBACK, observe_gateway
from reconciler.reconcile.site import Site

_PROBES_AT_ONCE = 32
_PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """One row of status; times in seconds since the epoch, sizes in bytes."""

    name: str
    model: str
    version: str
    profile: str
    state: str
    ready: bool
    endpoint: str
    pid: int | None
    restarts: int
    rss_bytes: int | None
    held: bool
    since: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole picture. `in_sync` is None when the spec cannot be read, so that nobody can tell."""

    revision: Revision | None
    generation: int
    in_sync: bool | None
    profile: str
    runtimes: tuple[Runtime, ...]
    gpus: tuple[dict[str, Any], ...]
    conditions: tuple[Condition, ...]
    attempted: dict[str, Any]
    """Revision, whether the work tree was dirty, and when; of the last apply. Empty before the first."""
    applied: dict[str, Any]
    """The same, of the last revision that was reached whole."""
    watcher: dict[str, Any] | None
    """What a running watcher follows; None when none runs."""

    @property
    def healthy(self) -> bool:
        return not any(condition.is_fault for condition in self.conditions)

    def document(self) -> dict[str, Any]:
        return {
            "spec_revision": self.revision.commit if self.revision else None,
            "generation": self.generation,
            "in_sync": self.in_sync,
            "profile": self.profile,
            "runtimes": [asdict(runtime) for runtime in self.runtimes],
            "gpus": list(self.gpus),
            "conditions": [condition.document() for condition in self.conditions],
            "attempted": self.attempted,
            "applied": self.applied,
            "watcher": self.watcher,
        }


def look(
    site: Site,
    state: State,
    plan: Plan | None,
    fault: ModelctlError | None,
    gpus: Sequence[dict[str, Any]],
) -> Status:
    """Ask the supervisor and every runtime. `plan` is what would be done now; None when it cannot be made."""
    owned = state.units()
    running = site.supervisor.is_running()
    statuses = site.supervisor.observe(list(owned)) if running and owned else {}
    latest = state.generation()
    gateway = observe_gateway(site, state, {})
    with ThreadPoolExecutor(max_workers=_PROBES_AT_ONCE) as pool:
        units = [
            (unit, statuses.get(name, UnitStatus(name, UnitState.ABSENT))) for name, unit in owned.items()
        ]
        runtimes = tuple(
            pool.map(
                lambda pair: _runtime(
                    pair[0], pair[1], gateway.in_force.get(pair[0].model), supervised=running
                ),
                units,
            )
        )
    revision = latest.revision if latest else None
    found = [*conditions.of_spec(fault), *conditions.of_journal(state, plan)]
    for (unit, status), runtime in zip(units, runtimes, strict=True):
        found += conditions.of_unit(unit, status, ready=runtime.ready, held=runtime.held, revision=revision)
    records = Records(state)
    found += [
        *conditions.of_gateway(gateway),
        *conditions.of_plan(plan),
        *conditions.of_records(records),
    ]
    note = records.note(conditions.WATCHER)
    return Status(
        revision=plan.revision if plan else None,
        generation=latest.number if latest else 0,
        in_sync=None if plan is None else not (plan.has_changes or plan.refused),
        profile=plan.profile if plan else (latest.profile if latest else ""),
        runtimes=runtimes,
        gpus=tuple(gpus),
        conditions=tuple(found),
        attempted=records.note(ATTEMPTED),
        applied=records.note(APPLIED),
        watcher=_watcher(note),
    )


def _watcher(note: dict[str, Any]) -> dict[str, Any] | None:
    if not note or not conditions.is_running(note):
        return None
    return {key: value for key, value in note.items() if key not in {"conditions", "birth"}}


def is_held(unit: OwnedUnit, status: UnitStatus, *, supervised: bool) -> bool:
    """Stopped by a person: it was ready, nothing failed, its supervisor has it down, and we did not do it."""
    ours = unit.started_hash != unit.config_hash
    return supervised and status.state is UnitState.STOPPED and unit.answered and not ours


def _runtime(unit: OwnedUnit, status: UnitStatus, route: Route | None, *, supervised: bool) -> Runtime:
    alive = status.state in {UnitState.RUNNING, UnitState.STARTING}
    return Runtime(
        name=unit.name,
        model=unit.model,
        version=unit.version,
        profile=unit.profile,
        state=status.state.value,
        ready=alive and look_at(parse_endpoint(unit.endpoint), timeout=_PROBE_SECONDS) is Health.READY,
        endpoint=_address(unit, route),
        pid=status.pid,
        restarts=status.restarts,
        rss_bytes=resident_bytes(status.pid) if status.pid else None,
        held=is_held(unit, status, supervised=supervised),
        since=status.since,
    )


def _address(unit: OwnedUnit, route: Route | None) -> str:
    """Where clients reach it: at the gateway, when its requests come from there."""
    if route is None or str(route.backend) != unit.endpoint:
        return unit.endpoint
    return str(TcpEndpoint(LOOPBACK, route.ports[0]))
