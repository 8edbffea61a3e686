"""The models of the spec beside what the machine has of them; what `list` shows."""

from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.units import UnitState, UnitStatus
from reconciler.host.state import State
from reconciler.reconcile.artifacts import stored_bytes
from reconciler.reconcile.site import Site
from reconciler.reconcile.status import is_held
from reconciler.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Entry:
    """One model. `size_bytes` is None while its current version is not in the store."""

    id: str
    version: str
    size_bytes: int | None
    profile: str | None
    status: str
    pinned: bool
    purpose_tags: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def catalogue(spec: Spec, site: Site, state: State) -> tuple[Entry, ...]:
    """One entry per model, in the spec's order; asks the supervisor once, and only when something is ours."""
    owned = state.units()
    supervised = bool(owned) and site.supervisor.is_running()
    statuses = site.supervisor.observe(list(owned)) if supervised else {}
    by_model = {unit.model: unit for unit in owned.values()}
    sizes = stored_bytes(spec, site)
    entries = []
    for model in spec.models:
        unit = by_model.get(model.model_id)
        size = sizes.get(model.model_id)
        if unit is not None:
            seen = statuses.get(unit.name, UnitStatus(unit.name, UnitState.ABSENT))
            status = "held" if is_held(unit, seen, supervised=supervised) else seen.state.value
        elif size is None:
            status = "not pulled"
        else:
            status = "stopped" if model.residency == "always" else "on demand"
        entries.append(
            Entry(
                id=model.id,
                version=model.current_version,
                size_bytes=size,
                profile=unit.profile if unit else None,
                status=status,
                pinned=model.id in spec.pins,
                purpose_tags=model.purpose_tags,
            )
        )
    return tuple(entries)
