"""Placing anew: headers are read, and the memory model is asked.

Apart from `placement`, which most plans need alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from reconciler.core.errors import ModelctlError
from reconciler.core.gpu import Gpu
from reconciler.core.operations import Operation
from reconciler.core.types import Bytes, UnitName
from reconciler.host.artifacts.errors import TransientError
from reconciler.host.state import State
from reconciler.host.tensor_overrider import ask_tensor_overrider
from reconciler.kinds.placement.figures import Figures, Unread
from reconciler.kinds.placement.plan import PlacementPlan, settle
from reconciler.kinds.placement.recall import Recalled
from reconciler.kinds.placement.types import Record, Wish
from reconciler.reconcile.elsewhere import profiles_with_room
from reconciler.reconcile.gpu_watch import own_use
from reconciler.reconcile.headers import figures_of, hub_address
from reconciler.reconcile.learning import learned
from reconciler.reconcile.placement import Survey
from reconciler.reconcile.site import Site
from reconciler.spec.model import Spec
from reconciler.spec.settings import Sources

_STEP = 256 * 1024**2
"""What others hold of a GPU is reckoned in such steps, so that a plan made twice comes out the same."""


def settled(
    found: Survey, spec: Spec, site: Site, state: State, gpus: Sequence[Gpu], *, unresolved: bool = False
) -> PlacementPlan:
    """Place what is missing; headers of what is kept are read only when one of those has no room.

    `unresolved`: also versions of which the spec does not say yet which bytes are meant, as their sources
    have them now.
    """
    wishes = {wish.unit: wish for wish in found.wishes}
    missing = [wishes[unit] for unit in found.recalled.missing]
    figures = _figures(missing, found, site, state, unresolved=unresolved)
    foreign = foreign_use(found, site, state, gpus)
    answers = _answers(missing, found, figures)
    plan = settle(found.wishes, found.ground, found.recalled, figures, foreign=foreign, answers=answers)
    if plan.unplaced and found.recalled.kept:
        figures |= _figures((wishes[unit] for unit in found.recalled.kept), found, site, state)
        plan = settle(found.wishes, found.ground, found.recalled, figures, foreign=foreign, answers=answers)
    if plan.unplaced:
        elsewhere = profiles_with_room(spec, site, found, figures, plan.unplaced)
        plan = settle(
            found.wishes,
            found.ground,
            found.recalled,
            figures,
            foreign=foreign,
            answers=answers,
            elsewhere=elsewhere,
        )
    return plan


def settled_each(
    found: Survey, always: Mapping[UnitName, Record], site: Site, state: State, gpus: Sequence[Gpu]
) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """Place what is missing of `on_demand` runtimes, each alone beside the `always` ones: steps, warnings."""
    wishes = [wish for wish in found.wishes if wish.unit in found.recalled.missing]
    figures = _figures(wishes, found, site, state)
    foreign = foreign_use(found, site, state, gpus)
    answers = _answers(wishes, found, figures)
    operations: list[Operation] = []
    warnings = list(found.recalled.warnings)
    for wish in wishes:
        cause = {wish.unit: found.recalled.missing[wish.unit]}
        beside = Recalled(always, cause, found.recalled.stale, ())
        plan = settle([wish], found.ground, beside, figures, foreign=foreign, answers=answers)
        operations += plan.operations
        blocked = plan.layouts[wish.unit].blocked
        if blocked is None:
            warnings += plan.warnings
        else:
            hint = f" ({blocked[1]})" if blocked[1] else ""
            warnings.append(f"{wish.unit}, on demand: {blocked[0]}{hint}")
    return tuple(operations), tuple(warnings)


def _answers(
    wishes: Iterable[Wish], found: Survey, figures: dict[UnitName, Figures | Unread]
) -> Mapping[UnitName, str]:
    """What the external tool says for those that want it; one that it cannot serve is noted in `figures`."""
    answers = {}
    for wish in wishes:
        if wish.strategy == "tensor-overrider":
            try:
                url = hub_address(found.versions[wish.unit])
                answers[wish.unit] = ask_tensor_overrider(
                    url, wish.context_tokens * wish.parallel, wish.shares
                )
            except ModelctlError as error:
                figures[wish.unit] = Unread(error.what, worth_saying=False, blocked=(error.what, error.hint))
    return answers


def _figures(
    wishes: Iterable[Wish], found: Survey, site: Site, state: State, *, unresolved: bool = False
) -> dict[UnitName, Figures | Unread]:
    """Of each wish; once a server does not answer, no other header is waited for."""
    sources = site.settings.sources
    figures: dict[UnitName, Figures | Unread] = {}
    for wish in wishes:
        try:
            if wish.artifacts or unresolved:
                read = _read(wish, found, site, sources)
            else:
                read = Unread("its version is not resolved", worth_saying=False)
        except TransientError as error:
            read = Unread(error.what)
            sources = sources.model_copy(update={"offline": True})
        figures[wish.unit] = _corrected(wish, found, read, state)
    return figures


def _corrected(wish: Wish, found: Survey, figures: Figures | Unread, state: State) -> Figures | Unread:
    """With what the engine took more than was reckoned, when it last loaded these files."""
    known = learned(state, wish.unit)
    if isinstance(figures, Unread) or known is None or not known.holds_for(wish, found.ground):
        return figures
    return replace(figures, excess=known.excess)


def _read(wish: Wish, found: Survey, site: Site, sources: Sources) -> Figures | Unread:
    """TransientError where a server does not answer."""
    try:
        return figures_of(site.places.store, found.versions[wish.unit], sources)
    except TransientError:
        raise
    except ModelctlError as error:
        return Unread(error.what)
    except OSError as error:
        return Unread(str(error))


def foreign_use(found: Survey, site: Site, state: State, gpus: Sequence[Gpu]) -> Mapping[str, Bytes]:
    """What other programs hold of each GPU beyond the reserve, in bytes.

    What our own runtimes hold is told by the driver, or where it does not list them by their placements.
    """
    if not gpus:
        return {}
    own = own_use(site, state)
    result = {}
    for gpu in gpus:
        listed = sum(process.used or 0 for process in gpu.processes or () if process.pid in own.pids)
        others = max(0, gpu.used - (listed or own.placed.get(gpu.uuid, 0)))
        over = max(0, others - found.ground.reserved_vram)
        result[gpu.uuid] = Bytes(-(-over // _STEP) * _STEP)
    return result
