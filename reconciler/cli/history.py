"""`modelctl history`: which version served when."""

from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import table
from reconciler.core.attempts import headline
from reconciler.core.errors import SpecError, UsageError
from reconciler.core.plan import Revision
from reconciler.core.suggest import did_you_mean

if TYPE_CHECKING:
    from reconciler.reconcile.history import Entry, VersionChange


@declare("history", short_help="Show generations and what they changed.")
@click.argument("model", required=False)
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many."
)
def command(context: Context, *, model: str | None, limit: int) -> None:
    """Show the applied generations, newest first, and which versions each of them changed.

    With MODEL only those that changed it.
    """
    from reconciler.core.types import ModelId  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.history import generations, history  # noqa: PLC0415

    site = session.open_folder(Path(context.spec))
    with site.state() as state:
        chosen = None if model is None else ModelId(model)
        entries = list(islice(history(generations(state), chosen), limit))
    if model is not None and not entries:
        _require_known(context, model)
    context.output.document(
        {"generations": [entry.document() for entry in entries]},
        lambda: table(("GENERATION", "APPLIED", "REVISION", "PROFILE", "CHANGES"), map(_row, entries)),
    )


def _require_known(context: Context, model: str) -> None:
    """A model without a history may be one that was never applied, or a mistyped one."""
    from reconciler.core.types import ModelId  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415

    try:
        known = session.read_spec(Path(context.spec)).by_id
    except SpecError:
        known = {}
    if ModelId(model) not in known:
        hint = did_you_mean(model, known) or "`modelctl list` shows the models"
        raise UsageError(f"no generation and no spec has a model `{model}`", hint=hint)


def _row(entry: "Entry") -> tuple[str, str, str, str, str]:
    return (
        str(entry.number),
        datetime.fromtimestamp(entry.created_at).astimezone().isoformat(" ", "seconds"),
        str(Revision(entry.revision, entry.dirty)),
        entry.profile,
        "; ".join(map(_words, entry.changes)) or "-",
    )


def _words(change: "VersionChange") -> str:
    if change.before == change.after:
        told = f"{change.model}: {change.after}"
    elif change.before is None:
        told = f"{change.model}: {change.after} (new)"
    elif change.after is None:
        told = f"{change.model}: {change.before} (gone)"
    else:
        told = f"{change.model}: {change.before} → {change.after}"
    return told if change.failure is None else f"{told}, after a failure: {headline(change.failure)}"
