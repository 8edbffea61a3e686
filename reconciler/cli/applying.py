"""Showing a plan, asking, doing it, and what comes of it: what `apply`, `promote` and `rollback` share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context
from reconciler.core.errors import ExitCode, Refused

if TYPE_CHECKING:
    from reconciler.core.plan import Plan
    from reconciler.host.state import State
    from reconciler.reconcile.executor import Result
    from reconciler.reconcile.site import Site


def apply_plan(context: Context, plan: "Plan", site: "Site", state: "State", *, yes: bool) -> ExitCode:
    """Show the plan, ask unless `yes`, do it. The caller holds the lock; Refused when the answer is no.

    Where nothing is to be done for the whole spec, its revision is on record as applied afterwards.
    """
    from reconciler.cli.downloads import downloads  # noqa: PLC0415
    from reconciler.cli.progress import Narrator  # noqa: PLC0415
    from reconciler.core.plan import render  # noqa: PLC0415
    from reconciler.host.records import Records  # noqa: PLC0415
    from reconciler.reconcile import carry_out  # noqa: PLC0415
    from reconciler.reconcile.announce import reached  # noqa: PLC0415

    output = context.output
    output.event({"event": "plan", **plan.document()}, render(plan))
    if any(refusal.guard for refusal in plan.refused):
        return ExitCode.REFUSED
    if not plan.has_changes:
        reached(Records(state), plan)
        return ExitCode.UNHEALTHY if plan.refused else ExitCode.OK
    if not yes and not output.ask("Apply this?"):
        raise Refused("nothing was applied", hint="say yes, or use --yes where nobody can be asked")
    with downloads(plan, Path(site.places.store), output) as shown:
        results = carry_out.apply(plan, site, state, [Narrator(output), shown])
    return _verdict(plan, results)


def _verdict(plan: "Plan", results: "Mapping[str, Result]") -> ExitCode:
    """0 all well; 4 when something is not served as wanted; 1 when nothing at all could be done."""
    from reconciler.core.operations import Verb  # noqa: PLC0415
    from reconciler.reconcile.executor import Outcome  # noqa: PLC0415

    failed = [result for result in results.values() if result.outcome is Outcome.FAILED]
    if not failed:
        return ExitCode.UNHEALTHY if plan.refused else ExitCode.OK
    reached = any(
        result.outcome is Outcome.DONE and result.operation.verb in {Verb.CHECK, Verb.RESTORE, Verb.REMOVE}
        for result in results.values()
    )
    unhealthy = any(result.operation.verb is Verb.CHECK for result in failed)
    return ExitCode.UNHEALTHY if reached or unhealthy else ExitCode.FAILED
