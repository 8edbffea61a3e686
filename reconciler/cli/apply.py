"""`modelctl apply`: make the machine as the spec says."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.applying import apply_plan
from reconciler.cli.context import Context, declare
from reconciler.cli.planning import make_request, planning_options
from reconciler.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.reconcile.plan import Request
    from reconciler.reconcile.saved import SavedPlan
    from reconciler.reconcile.session import Source


@declare("apply", short_help="Make the machine as the spec says.")
@click.argument("plan_file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@planning_options
@click.option("--dry-run", is_flag=True, help="Show the plan and stop; the same as `modelctl plan`.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    context: Context,
    *,
    plan_file: Path | None,
    ref: str | None,
    prune: bool,
    prune_limit: int | None,
    only: Sequence[str],
    dry_run: bool,
    yes: bool,
) -> ExitCode:
    """Make the machine as the spec says: show the plan, ask, and do it.

    With PLAN_FILE (from `modelctl plan --out`) exactly that plan is applied, or none when the machine has
    moved since.
    """
    from reconciler.reconcile import saved, session  # noqa: PLC0415

    if plan_file is None:
        source = session.read_source(Path(context.spec), ref)
        request = make_request(source.spec, prune=prune, prune_limit=prune_limit, only=only)
        agreed = None
    else:
        if ref or prune or prune_limit is not None or only:
            raise UsageError("a saved plan says by itself what to do", hint=f"modelctl apply {plan_file}")
        agreed = saved.load(plan_file)
        source = session.from_texts(Path(agreed.spec_folder), agreed.texts, agreed.revision)
        request = agreed.request
    if dry_run:
        return _show_only(context, source, request, agreed)
    return _apply(context, source, ref, request, agreed, yes=yes or plan_file is not None)


def _show_only(
    context: Context, source: "Source", request: "Request", agreed: "SavedPlan | None"
) -> ExitCode:
    from reconciler.core.plan import render  # noqa: PLC0415
    from reconciler.reconcile import saved, session  # noqa: PLC0415

    site = session.open_source(source)
    with site.state() as state:
        plan = session.plan(source, site, state, request)
    if agreed is not None:
        saved.require_same(agreed, plan)
    context.output.document(plan.document(), lambda: render(plan))
    return ExitCode.REFUSED if any(refusal.guard for refusal in plan.refused) else ExitCode.OK


def _apply(
    context: Context,
    source: "Source",
    reference: str | None,
    request: "Request",
    agreed: "SavedPlan | None",
    *,
    yes: bool,
) -> ExitCode:
    from reconciler.cli.locking import locked_source, machine_lock  # noqa: PLC0415
    from reconciler.cli.suspending import say_suspended  # noqa: PLC0415
    from reconciler.host.records import Records  # noqa: PLC0415
    from reconciler.reconcile import saved, session  # noqa: PLC0415
    from reconciler.reconcile.announce import reached  # noqa: PLC0415
    from reconciler.reconcile.plan import Request  # noqa: PLC0415

    with ExitStack() as held:
        # The lock comes first: a plan that was made before it could be of a machine that moved.
        if agreed is None:
            source, site = held.enter_context(locked_source(context, source, reference))
        else:
            site = session.open_source(source)
            held.enter_context(machine_lock(context, site))
        state = held.enter_context(site.state(create=True))
        plan = session.plan(source, site, state, request)
        if agreed is not None:
            saved.require_same(agreed, plan)
        say_suspended(context, state)
        code = apply_plan(context, plan, site, state, yes=yes)
        if request.only and code is ExitCode.OK:
            reached(Records(state), session.plan(source, site, state, Request()))
        return code
