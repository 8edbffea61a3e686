"""What placing knows of a version's files, and the claim on memory that follows. Pure."""

from dataclasses import dataclass, replace

from reconciler.core.errors import SpecError
from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader
from reconciler.kinds.placement.settings import settings_of
from reconciler.kinds.placement.types import Ground, Wish
from reconciler.placement.attachments import Draft, attach
from reconciler.placement.kv import cache_problem
from reconciler.placement.ledger import Claim
from reconciler.placement.memory import Model

_NOTHING = Bytes(0)


@dataclass(frozen=True, slots=True)
class Figures:
    """The files of one version, reduced to what placement works with."""

    model: Model
    adapters: tuple[GgufHeader, ...] = ()
    projector: GgufHeader | None = None
    draft: Model | None = None
    excess: Bytes = _NOTHING
    """What the engine was seen to take on a device beyond what was reckoned."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Why there are no figures, or why they are of no use."""

    why: str
    worth_saying: bool = True
    """False where something else says it already: an artifact that is not resolved."""
    blocked: tuple[str, str | None] | None = None


def claim_of(wish: Wish, ground: Ground, figures: Figures) -> Claim:
    """What the wish asks of the ledger; SpecError where llama.cpp would refuse its cache types."""
    try:
        settings = settings_of(wish, ground, drafting=figures.draft is not None)
    except KeyError as error:
        raise SpecError(f"{error} is no cache type", hint="take f16, q8_0 or q4_0") from error
    problem = cache_problem(figures.model.architecture, settings)
    if problem is not None:
        raise SpecError(problem, hint="take f16 for this model's cache types")
    draft = None if figures.draft is None else Draft(figures.draft, settings)
    model = attach(figures.model, adapters=figures.adapters, projector=figures.projector, draft=draft)
    if figures.excess:
        beside = replace(model.beside, device=Bytes(model.beside.device + figures.excess))
        model = replace(model, beside=beside)
    devices = tuple(device.id for device in ground.devices)
    shares = wish.shares if wish.strategy in {"auto", "shares"} else None
    return Claim(wish.unit, model, settings, devices, shares)
