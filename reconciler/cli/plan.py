"""`modelctl plan`: what would happen, and why."""

from collections.abc import Sequence
from pathlib import Path

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.planning import make_request, planning_options
from reconciler.core.errors import ExitCode


@declare("plan", short_help="Show what apply would do, and why.")
@planning_options
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `modelctl apply FILE`."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when changes are pending.")
def command(
    context: Context,
    *,
    ref: str | None,
    prune: bool,
    prune_limit: int | None,
    only: Sequence[str],
    out: Path | None,
    detailed_exitcode: bool,
) -> ExitCode:
    """Show what `modelctl apply` would do, and why. Changes nothing."""
    from reconciler.core.plan import render  # noqa: PLC0415
    from reconciler.reconcile import saved, session  # noqa: PLC0415

    source = session.read_source(Path(context.spec), ref)
    request = make_request(source.spec, prune=prune, prune_limit=prune_limit, only=only)
    site = session.open_source(source)
    with site.state() as state:
        plan = session.plan(source, site, state, request)
    if out is not None:
        texts = dict(source.texts)
        saved.save(
            out,
            plan,
            saved.SavedPlan(str(source.folder.absolute()), texts, source.revision, request, plan.fingerprint),
        )
    context.output.document(plan.document(), lambda: render(plan))
    if any(refusal.guard for refusal in plan.refused):
        return ExitCode.REFUSED
    return ExitCode(2) if detailed_exitcode and plan.has_changes else ExitCode.OK
