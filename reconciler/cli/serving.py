"""The way from one version to another, which `promote` and `rollback` share."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.applying import apply_plan
from reconciler.cli.context import Context
from reconciler.core.errors import ExitCode, ModelctlError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.plan import Plan
    from reconciler.host.state import State
    from reconciler.reconcile.versions import Change
    from reconciler.spec.model import Spec

_OPTIONS = (
    click.option(
        "--commit",
        is_flag=True,
        help="Commit the edited spec file, under your own name as Git is configured.",
    ),
    click.option("--dry-run", is_flag=True, help="Show the edit and the plan, and stop."),
    click.option("--yes", is_flag=True, help="Do not ask."),
)


def serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that changes which version is served."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def serve(
    context: Context,
    choose: "Callable[[Spec, State], Change]",
    *,
    commit: bool,
    dry_run: bool,
    yes: bool,
) -> ExitCode:
    """Apply the spec as `choose` changes it, to that model alone; write the edit once the machine took it.

    A version that does not come up leaves the spec's files untouched, to the byte, and no commit.
    """
    from reconciler.cli.locking import locked_source  # noqa: PLC0415
    from reconciler.host import git  # noqa: PLC0415
    from reconciler.host.rewrite import require_rewritable  # noqa: PLC0415
    from reconciler.reconcile import outcome, session, versions  # noqa: PLC0415
    from reconciler.reconcile.plan import Request  # noqa: PLC0415

    source = session.read_source(Path(context.spec))
    with ExitStack() as held:
        if dry_run:
            site = session.open_source(source)
        else:
            source, site = held.enter_context(locked_source(context, source))
        state = held.enter_context(site.state(create=not dry_run))
        change = choose(source.spec, state)
        after, files = versions.edited(source, change.edits)
        for file in files:
            require_rewritable(Path(file))
        if commit and files:
            git.require_committable(source.folder, [Path(file) for file in files])
        plan = session.plan(after, site, state, Request(only=frozenset({change.model})))
        if dry_run:
            return _show(context, source.texts, files, plan)
        if plan.refused:
            refusal = plan.refused[0]
            raise Refused(f"{refusal.resource}: {refusal.reason}", hint=refusal.hint)
        was = outcome.before(state, change.model)
        code = apply_plan(context, plan, site, state, yes=yes)
        if code is not ExitCode.OK:
            serves = outcome.taken_back(change, was, source=source, site=site, state=state)
            _report_kept(context, change, code, serves=serves)
        elif (revision := _record(context, source.folder, change, commit=commit)) is not None:
            outcome.committed(revision, change, was, folder=source.folder, site=site, state=state)
        return code


def _record(context: Context, folder: Path, change: "Change", *, commit: bool) -> str | None:
    """Write what was proven into the spec, still under the lock: a watcher must not see the one without the
    other. Returns the commit, where one was wanted.
    """
    from reconciler.cli.locking import editing  # noqa: PLC0415
    from reconciler.host import git  # noqa: PLC0415
    from reconciler.reconcile.writing import write_edits  # noqa: PLC0415

    with editing(folder):
        try:
            files = write_edits(folder, change.edits)
        except (ModelctlError, OSError) as error:
            by_hand = f"set `current_version: {change.after}` by hand"
            raise ModelctlError(
                f"{change.model} serves {change.after}, but the spec could not be edited: {error}",
                hint=f"{by_hand}, or the next apply takes {change.before}",
            ) from error
        revision = git.commit(folder, files, change.message) if commit and files else None
    event = {
        "event": "version",
        "model": change.model,
        "version": change.after,
        "before": change.before,
        "files": [str(file) for file in files],
        "commit": revision,
    }
    told = f"{change.model} is at {change.after}"
    if files:
        told += f"; written to {', '.join(map(str, files))}"
        told += (
            f" and committed as {revision[:12]}"
            if revision
            else "; commit that: a watcher does nothing until then"
        )
    elif commit:
        told += "; the spec says so already, and nothing was committed"
    context.output.event(event, told)
    return revision


def _report_kept(context: Context, change: "Change", code: ExitCode, *, serves: bool) -> None:
    """1 where its files were not to be had and the runtime was not touched, 4 where it did not answer."""
    event = {"event": "version", "model": change.model, "version": change.before, "failed": change.after}
    context.output.event({**event, "files": [], "commit": None}, None)
    context.output.note(
        f"{change.model} is not changed to {change.after}: the spec still says {change.before},"
        + (" which serves as before" if serves else " which does not answer: `modelctl status` says more")
    )
    if code is ExitCode.UNHEALTHY:
        hint = f"`modelctl status` keeps the reason, until `modelctl resume {change.model}`"
    else:
        hint = f"`modelctl pull {change.model}@{change.after}` says whether its files can be had now"
    context.output.note(f"  hint: {hint}")


def _show(
    context: Context, before: "Mapping[str, str]", files: "Mapping[str, str]", plan: "Plan"
) -> ExitCode:
    from reconciler.cli.diff import unified  # noqa: PLC0415
    from reconciler.core.plan import render  # noqa: PLC0415

    edits = [
        {"file": file, "diff": unified(before[file], text, Path(file).name)} for file, text in files.items()
    ]
    context.output.document(
        {**plan.document(), "edits": edits},
        lambda: "\n".join([*(edit["diff"] for edit in edits), render(plan)]),
    )
    return ExitCode.OK
