"""`modelctl pin`: keep a model at the version that it serves."""

from pathlib import Path

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.locking import editing
from reconciler.cli.pinning import write_pin


@declare("pin", short_help="Keep a model at the version that it serves.")
@click.argument("model")
@click.argument("version", required=False)
@click.option("--commit", is_flag=True, help="Commit the edited spec file.")
def command(context: Context, *, model: str, version: str | None, commit: bool) -> None:
    """Pin MODEL to the version that it serves: `promote`, `rollback` and `gc` leave it alone.

    VERSION, where given, must be that version.
    """
    from reconciler.reconcile import session, versions  # noqa: PLC0415

    folder = Path(context.spec)
    with editing(folder):
        pinned, edits = versions.pin_edits(session.read_spec(folder), model, version)
        write_pin(context, model, pinned, edits, message=f"Pin {model} to {pinned}", commit=commit)
