"""One model beside what the machine has of it; what `show` shows."""

from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.endpoint import TcpEndpoint
from reconciler.core.plan import Revision
from reconciler.core.routes import Route
from reconciler.core.units import UnitState, UnitStatus
from reconciler.host.state import State
from reconciler.kinds.unit.types import DesiredUnit
from reconciler.reconcile.artifacts import version_bytes
from reconciler.reconcile.desired import Facts, compile_spec
from reconciler.reconcile.gateway import LOOPBACK
from reconciler.reconcile.site import Site
from reconciler.spec.model import Model, Spec


@dataclass(frozen=True, slots=True)
class VersionRow:
    """`size_bytes` is None while the version is not in the store whole."""

    version_id: str
    current: bool
    pinned: bool
    source: str
    revision: str | None
    sha256: str | None
    size_bytes: int | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class RuntimeRow:
    """How it is served under the active profile."""

    name: str
    state: str
    endpoint: str
    argv: tuple[str, ...]
    blocked: str | None


@dataclass(frozen=True, slots=True)
class Details:
    """Everything about one model."""

    model: Model
    versions: tuple[VersionRow, ...]
    runtimes: tuple[RuntimeRow, ...]

    def document(self) -> dict[str, Any]:
        plain = self.model.model_dump(mode="json", exclude={"versions"})
        return {
            **plain,
            "versions": [asdict(version) for version in self.versions],
            "runtimes": [asdict(runtime) for runtime in self.runtimes],
        }


def details(spec: Spec, model: Model, site: Site, state: State, facts: Facts) -> Details:
    """Look at one model; an `on_demand` one has no runtime of ours."""
    desired = compile_spec(spec, Revision(None, dirty=False), facts)
    units = [unit for unit in desired.units if unit.model == model.model_id]
    owned = [unit.name for unit in units if unit.name in state.units()]
    statuses = site.supervisor.observe(owned) if owned and site.supervisor.is_running() else {}
    return Details(
        model,
        tuple(
            VersionRow(
                version_id=version.version_id,
                current=version.version_id == model.current_version,
                pinned=spec.pins.get(model.id) == version.version_id,
                source=version.gguf_url,
                revision=version.revision,
                sha256=",".join(version.hashes) or None,
                size_bytes=version_bytes(site, model, version),
                notes=version.notes,
            )
            for version in model.versions
        ),
        tuple(
            RuntimeRow(
                name=unit.name,
                state=statuses.get(unit.name, UnitStatus(unit.name, UnitState.ABSENT)).state.value,
                endpoint=_address(unit, desired.routes.get(unit.name)),
                argv=unit.definition.argv,
                blocked=unit.blocked[0] if unit.blocked else None,
            )
            for unit in units
        ),
    )


def _address(unit: DesiredUnit, route: Route | None) -> str:
    """Where clients reach it."""
    return str(unit.endpoint if route is None else TcpEndpoint(LOOPBACK, route.ports[0]))
