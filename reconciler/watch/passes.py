"""One pass: plan, and apply when there is something to do."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.core.errors import GivenUpError, ModelctlError, Refused
from reconciler.core.plan import Plan
from reconciler.host.artifacts.sources import FileSource, OllamaSource, parse_source
from reconciler.host.lock import apply_lock
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.kinds.artifact.plan import Fetch
from reconciler.reconcile import carry_out, session
from reconciler.reconcile.announce import model_of, reached
from reconciler.reconcile.executor import Listener, Outcome, Result
from reconciler.reconcile.plan import Request
from reconciler.reconcile.session import Source
from reconciler.reconcile.site import Site

_ASKED_SECONDS = 2.0
"""Between questions whether an apply is still wanted."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What came of it. `plan` is None when somebody else was changing the machine, or the spec moved on."""

    plan: Plan | None
    results: Mapping[str, Result] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        return sum(result.outcome is Outcome.FAILED for result in self.results.values())

    @property
    def whole(self) -> bool:
        """Nothing was given up on the way."""
        return not any(isinstance(result.error, GivenUpError) for result in self.results.values())

    @property
    def clean(self) -> bool:
        return self.plan is not None and self.whole and not self.failures and not self.plan.refused


class Interest(Listener):
    """Asks during an apply whether it is still wanted.

    Where nobody can tell, the apply goes on: an error here must not end it while its steps are under way.
    """

    def __init__(self, still_wanted: Callable[[], bool]) -> None:
        self._still_wanted = still_wanted
        self._asked = time.monotonic()
        self.unwanted = threading.Event()

    def waiting(self) -> None:
        if time.monotonic() - self._asked >= _ASKED_SECONDS and not self.unwanted.is_set():
            with suppress(ModelctlError):
                if not self._still_wanted():
                    self.unwanted.set()
            self._asked = time.monotonic()


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
    asked under the lock: whoever held it before may have made another spec the wanted one. And now and then
    while operations are under way: what is still to be downloaded when it says no is given up.
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
            interest = Interest(still_wanted)
            plan, results = _in_two(
                request,
                lambda asked: session.plan(source, site, state, asked),
                lambda agreed: carry_out.apply(
                    agreed, site, state, [*listeners, interest], unwanted=interest.unwanted
                ),
            )
            if not plan.has_changes:
                reached(Records(state), plan)
            return Pass(plan, results)
    except Refused:
        return Pass(None)


def _in_two(
    request: Request, plan: Callable[[Request], Plan], apply: Callable[[Plan], dict[str, Result]]
) -> tuple[Plan, dict[str, Result]]:
    """First what is on this machine already, then what may take hours to download.

    One plan would let all wait for its one reload, and so for all of its downloads.
    """
    agreed, results = plan(request), {}
    late = frozenset(
        model
        for operation in agreed.operations
        if isinstance(operation.payload, Fetch)
        and not isinstance(parse_source(operation.payload.url), FileSource | OllamaSource)
        and (model := model_of(operation)) is not None
    )
    if late:
        here = plan(replace(request, without=request.without | late))
        if here.has_changes:
            results = apply(here)
            agreed = plan(request)
    return agreed, results | (apply(agreed) if agreed.has_changes else {})
