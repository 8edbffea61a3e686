"""One pass: plan, and apply when there is something to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.errors import Refused
from reconciler.core.plan import Plan
from reconciler.host.lock import apply_lock
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.reconcile import carry_out, session
from reconciler.reconcile.announce import reached
from reconciler.reconcile.executor import Listener, Outcome, Result
from reconciler.reconcile.plan import Request
from reconciler.reconcile.session import Source
from reconciler.reconcile.site import Site


@dataclass(frozen=True, slots=True)
class Pass:
    """What came of it. `plan` is None when somebody else was changing the machine, or the spec moved on."""

    plan: Plan | None
    results: Mapping[str, Result] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        return sum(result.outcome is Outcome.FAILED for result in self.results.values())

    @property
    def clean(self) -> bool:
        return self.plan is not None and not self.failures and not self.plan.refused


def run_pass(
    source: Source,
    site: Site,
    state: State,
    request: Request,
    listeners: Sequence[Listener],
    *,
    likely: bool,
    still_wanted: Callable[[], bool],
) -> Pass:
    """Plan, and do what the plan says. `likely`: there will be something to do.

    Otherwise the first plan is made without the lock, so that looking is in nobody's way. `still_wanted` is
    asked under the lock: whoever held it before may have made another spec the wanted one.
    """
    if not likely:
        plan = session.plan(source, site, state, request)
        if not plan.has_changes:
            reached(Records(state), plan)
            return Pass(plan)
    try:
        with apply_lock(Path(site.places.lock)):
            if not still_wanted():
                return Pass(None)
            plan = session.plan(source, site, state, request)
            if plan.has_changes:
                return Pass(plan, carry_out.apply(plan, site, state, listeners))
            reached(Records(state), plan)
            return Pass(plan)
    except Refused:
        return Pass(None)
