"""`modelctl status`: what is running, ready and in sync."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context, declare
from reconciler.cli.output import Style, paint, table
from reconciler.core.conditions import READY
from reconciler.core.errors import ExitCode, ModelctlError
from reconciler.core.plan import Revision
from reconciler.core.sizes import format_bytes, format_seconds

if TYPE_CHECKING:
    from reconciler.core.conditions import Condition
    from reconciler.core.plan import Plan
    from reconciler.reconcile.status import Runtime, Status


@declare("status", short_help="Show what is running, ready and in sync.")
def command(context: Context) -> ExitCode:
    """Show what is running, ready and in sync with the spec.

    Exit code 4 when something is not as it should be.
    """
    from reconciler.reconcile import session, status  # noqa: PLC0415
    from reconciler.reconcile.moved import supervisor_before, under  # noqa: PLC0415
    from reconciler.reconcile.plan import Request  # noqa: PLC0415

    folder = Path(context.spec)
    plan: Plan | None = None
    fault: ModelctlError | None = None
    try:
        source = session.read_source(folder)
        site = session.open_source(source)
    except ModelctlError as error:
        # A spec that cannot be read hides nothing: what was applied is still there to be looked at.
        fault = error
        site = session.open_folder(folder)
    before = supervisor_before(site)
    with site.state() as state:
        if fault is None:
            try:
                plan = session.plan(source, site, state, Request())
            except ModelctlError as error:
                fault = error
        # What runs is shown where it runs, also when the spec names another supervisor by now.
        found = status.look(under(site, before) if before else site, state, plan, fault, ())
    context.output.document(found.document(), lambda: _render(found))
    return ExitCode.OK if found.healthy and found.in_sync else ExitCode.UNHEALTHY


def _render(found: "Status") -> str:
    sync = {
        True: "in sync",
        False: "not as the spec says: `modelctl plan`",
        None: "unknown whether in sync: no plan can be made",
    }
    where = f"spec {found.revision or '?'}  generation {found.generation}  profile {found.profile or '?'}"
    lines = [f"{where}  {sync[found.in_sync]}", *_watcher(found)]
    if found.runtimes:
        headers = ("NAME", "VERSION", "STATE", "READY", "ENDPOINT", "PID", "RESTARTS", "MEMORY", "SINCE")
        lines += ["", table(headers, [_row(runtime) for runtime in found.runtimes])]
    lines += [_condition(condition) for condition in found.conditions if condition.type != READY]
    return "\n".join(lines)


def _condition(condition: "Condition") -> str:
    text = f"{condition.resource}: {condition.reason}: {condition.message}"
    return paint(f"! {text}", Style.WARN) if condition.is_fault else f"- {text}"


def _watcher(found: "Status") -> list[str]:
    """Who keeps the machine, and how far it came; nothing where nobody ever applied or watches."""
    applied, attempted = found.applied, found.attempted
    lines = []
    if found.watcher is not None:
        what = "saved files" if found.watcher["follow"] == "worktree" else "commits"
        lines.append(f"a watcher (pid {found.watcher['pid']}) follows {what} in {found.watcher['folder']}")
    if attempted and attempted != applied and attempted.get("revision") != applied.get("revision"):
        last = str(Revision(applied.get("revision"), bool(applied.get("dirty")))) if applied else "nothing"
        tried = Revision(attempted.get("revision"), bool(attempted.get("dirty")))
        lines.append(f"last attempted {tried}, last applied {last}")
    return lines


def _row(runtime: "Runtime") -> tuple[str, ...]:
    state = "held" if runtime.held else runtime.state
    style = Style.GOOD if runtime.ready else Style.BAD
    return (
        runtime.name,
        runtime.version,
        paint(state, style),
        "yes" if runtime.ready else "no",
        runtime.endpoint,
        str(runtime.pid or "-"),
        str(runtime.restarts),
        "-" if runtime.rss_bytes is None else format_bytes(runtime.rss_bytes),
        "-" if runtime.since is None else format_seconds(max(0.0, time.time() - runtime.since)),
    )
