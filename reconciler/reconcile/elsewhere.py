"""Under which other profiles a runtime would fit that has no room under the active one."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from reconciler.core.errors import SpecError
from reconciler.core.gpu import Gpu
from reconciler.core.types import ModelId, ProfileName, UnitName
from reconciler.gpu.profiles import match
from reconciler.host.nvml import survey
from reconciler.kinds.placement.figures import Figures, Unread, claim_of
from reconciler.kinds.placement.plan import NO_FOREIGN_USE, machine_of
from reconciler.kinds.placement.types import Ground, Wish
from reconciler.placement.ledger import Claim, balance
from reconciler.placement.split import Placement
from reconciler.reconcile.placement import Survey, ground_of, wish_of
from reconciler.reconcile.site import Site
from reconciler.spec.model import ModelProfile, Spec


def profiles_with_room(
    spec: Spec,
    site: Site,
    found: Survey,
    figures: Mapping[UnitName, Figures | Unread],
    unplaced: Collection[UnitName],
) -> dict[UnitName, tuple[ProfileName, ...]]:
    """Other profiles whose GPUs are there, busy or not, and hold the runtime beside what they serve already.

    Models whose headers were not read are left out of the reckoning. Asks the driver once; for when
    something does not fit.
    """
    known = {wish.model: one for wish in found.wishes if isinstance(one := figures.get(wish.unit), Figures)}
    wanted = {wish.model: wish.unit for wish in found.wishes if wish.unit in unplaced and wish.model in known}
    fits: dict[UnitName, list[ProfileName]] = {unit: [] for unit in wanted.values()}
    for name, gpus in _others(spec, found.ground.profile):
        ground, problem = ground_of(spec, site, name, gpus)
        if problem is not None or not ground.devices:
            continue
        for model, unit in wanted.items():
            if _fits(model, list(_claims(spec, ground, known, model)), ground):
                fits[unit].append(name)
    return {unit: tuple(names) for unit, names in fits.items() if names}


def _others(spec: Spec, active: ProfileName) -> Iterator[tuple[ProfileName, Sequence[Gpu]]]:
    cards = {ProfileName(name): profile.cards for name, profile in spec.profiles.items() if name != active}
    gpus = survey().gpus if any(cards.values()) else ()
    for found in match(cards, gpus):
        if not found.faults:
            yield found.profile, found.gpus


def _claims(
    spec: Spec, ground: Ground, known: Mapping[ModelId, Figures], wanted: ModelId
) -> Iterator[tuple[ModelId, Claim]]:
    """What is served there and known, and the wanted model, whether it is served there or not."""
    for model in spec.models:
        settings = model.profiles.get(ground.profile)
        served = settings is not None and model.residency == "always"
        if model.model_id not in known or not (served or model.model_id == wanted):
            continue
        wish: Wish = wish_of(model, settings or ModelProfile(), ground)[0]
        try:
            yield model.model_id, claim_of(wish, ground, known[model.model_id])
        except SpecError:
            continue


def _fits(wanted: ModelId, claims: Sequence[tuple[ModelId, Claim]], ground: Ground) -> bool:
    try:
        ledger = balance([claim for _, claim in claims], machine_of(ground, NO_FOREIGN_USE, ()))
    except ValueError:
        return False  # shares that are not one per device
    entries = zip((model for model, _ in claims), ledger.entries, strict=True)
    return any(model == wanted and isinstance(entry.outcome, Placement) for model, entry in entries)
