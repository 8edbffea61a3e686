"""What may be taken away. Pure: which owned units the spec no longer wants, and the guards before they go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.core.inventory import OwnedUnit
from reconciler.core.plan import Refusal
from reconciler.core.types import ProfileName, UnitName
from reconciler.gpu.transition import IDLE_SECONDS
from reconciler.spec.model import Spec

FREE_LIMIT = 3
"""So many may always go."""
FREE_SHARE = 0.3
"""More than that only up to this share of what is owned, unless a limit allows it."""
_SHOWN = 5
"""Names that a refusal lists."""


@dataclass(frozen=True, slots=True)
class Left:
    """An owned unit that is not wanted now although the spec still has its model."""

    unit: OwnedUnit
    cause: str
    linger: float
    """How many seconds without a request it is kept for, should it be wanted again."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """Owned units that the active profile does not want."""

    replaced: tuple[Left, ...]
    """They make room without being asked to."""
    orphaned: tuple[UnitName, ...]
    """The spec dropped them; they go with `--prune` only."""


def surplus(
    owned: Iterable[OwnedUnit], wanted: Iterable[UnitName], spec: Spec, profile: ProfileName
) -> Surplus:
    """Sort what is owned and not wanted by whether the spec still knows it.

    A model whose profile has another name now is still there; one that the spec serves nowhere is dropped.
    """
    keep = set(wanted)
    served = {model.model_id for model, _ in spec.served(profile) if model.residency == "always"}
    replaced: list[Left] = []
    orphaned: list[UnitName] = []
    for unit in owned:
        if unit.name in keep:
            continue
        model = spec.by_id.get(unit.model)
        known = model is not None and model.profiles.get(unit.profile) is not None
        if not known and unit.model not in served:
            orphaned.append(unit.name)
        elif known and unit.profile != profile:
            replaced.append(Left(unit, f"profile {profile} is active", IDLE_SECONDS))
        elif unit.model in served:
            replaced.append(Left(unit, f"another runtime of {unit.model} takes over", 0.0))
        else:
            replaced.append(Left(unit, "its model is on_demand now", 0.0))
    return Surplus(tuple(replaced), tuple(orphaned))


def guard(orphaned: Sequence[UnitName], owned: int, spec: Spec, limit: int | None) -> Refusal | None:
    """None when all of `orphaned` may go; otherwise why not.

    Under a spec without models they go only when `limit` is their very number: one that stands in a script
    does not say that everything is to go.
    """
    count = len(orphaned)
    if not count:
        return None
    what = f"{_list(orphaned)} {'is' if count == 1 else 'are'} not removed"
    command = f"modelctl apply --prune --prune-limit {count}"
    if not spec.models:
        reason = "the spec has no models at all, which is more likely a mistake than a wish"
        allowed = count if limit == count else 0
        hint = f"`{command}` removes everything; `git log -p` shows where the models went"
    else:
        allowed = limit if limit is not None else max(FREE_LIMIT, int(owned * FREE_SHARE))
        reason = f"that is {count} of {owned} units, more than the {allowed} that may go unasked"
        hint = f"`{command}` if that is meant"
    return None if count <= allowed else Refusal("prune", f"{what}: {reason}", hint, guard=True)


def _list(names: Sequence[UnitName]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
