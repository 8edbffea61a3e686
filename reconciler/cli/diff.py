"""`modelctl diff`: how unit files would change, line by line."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context, declare
from reconciler.cli.planning import make_request, planning_options
from reconciler.core.errors import ExitCode

if TYPE_CHECKING:
    from reconciler.core.plan import Plan
    from reconciler.reconcile.site import Site


@declare("diff", short_help="Show how unit files would change; exit 1 if they differ.")
@planning_options
def command(
    context: Context, *, ref: str | None, prune: bool, prune_limit: int | None, only: Sequence[str]
) -> ExitCode:
    """Show how unit files would change, line by line.

    Exit codes: 0 nothing differs, 1 something differs, more than 1 an error.
    """
    from reconciler.reconcile import session  # noqa: PLC0415

    source = session.read_source(Path(context.spec), ref)
    request = make_request(source.spec, prune=prune, prune_limit=prune_limit, only=only)
    site = session.open_source(source)
    with site.state() as state:
        plan = session.plan(source, site, state, request)
    changes = dict(_changes(plan, site))
    context.output.document(
        {"units": [{"name": name, "diff": text} for name, text in changes.items()]},
        lambda: "\n".join(changes.values()),
    )
    return ExitCode(1) if plan.has_changes else ExitCode.OK


def _changes(plan: "Plan", site: "Site") -> Iterator[tuple[str, str]]:
    from reconciler.core.operations import Verb  # noqa: PLC0415
    from reconciler.core.types import UnitName  # noqa: PLC0415

    for operation in plan.operations:
        if operation.verb not in {Verb.WRITE, Verb.REMOVE}:
            continue
        path = site.supervisor.unit_path(UnitName(operation.resource))
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = operation.payload.unit.text if operation.verb is Verb.WRITE else ""
        yield operation.resource, unified(before, after, operation.resource)


def unified(before: str, after: str, name: str) -> str:
    """A unified diff without line ends at its end; /dev/null stands for a file that is not there."""
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        fromfile=f"a/{name}" if before else "/dev/null",
        tofile=f"b/{name}" if after else "/dev/null",
        lineterm="",
    )
    return "\n".join(lines)
