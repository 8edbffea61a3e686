"""What may be taken away. Pure: which owned units the spec no longer wants, and the guards before they go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.core.inventory import OwnedUnit
from reconciler.core.plan import Refusal
from reconciler.core.types import ProfileName, UnitName
from reconciler.spec.model import Spec

FREE_LIMIT = 3
"""So many may always go."""
FREE_SHARE = 0.3
"""More than that only up to this share of what is owned, unless a limit allows it."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """Owned units that the active profile does not want."""

    replaced: tuple[tuple[UnitName, str], ...]
    """With the cause: the spec still has them, elsewhere. They make room without being asked for."""
    orphaned: tuple[UnitName, ...]
    """The spec dropped them; they go with `--prune` only."""


def surplus(
    owned: Iterable[OwnedUnit], wanted: Iterable[UnitName], spec: Spec, profile: ProfileName
) -> Surplus:
    """Sort what is owned and not wanted by whether the spec still knows it."""
    keep = set(wanted)
    replaced: list[tuple[UnitName, str]] = []
    orphaned: list[UnitName] = []
    for unit in owned:
        if unit.name in keep:
            continue
        model = spec.by_id.get(unit.model)
        if model is None or model.profiles.get(unit.profile) is None:
            orphaned.append(unit.name)
        elif unit.profile != profile:
            replaced.append((unit.name, f"profile {profile} is active"))
        else:
            replaced.append((unit.name, "its model is on_demand now"))
    return Surplus(tuple(replaced), tuple(orphaned))


def guard(orphaned: Sequence[UnitName], owned: int, spec: Spec, limit: int | None) -> Refusal | None:
    """None when all of `orphaned` may go; otherwise why not."""
    if not orphaned:
        return None
    if not spec.models:
        return Refusal(
            "prune",
            "the spec has no models at all; that is more likely a mistake than a wish",
            "to stop everything, keep one model in the spec or remove the units by hand",
            guard=True,
        )
    allowed = limit if limit is not None else max(FREE_LIMIT, int(owned * FREE_SHARE))
    if len(orphaned) <= allowed:
        return None
    return Refusal(
        "prune",
        f"{len(orphaned)} of {owned} units would go, more than the {allowed} that may go unasked",
        f"if that is meant: --prune-limit {len(orphaned)}",
        guard=True,
    )
