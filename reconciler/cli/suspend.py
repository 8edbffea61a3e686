"""`modelctl suspend`: the watcher leaves models alone."""

import time
from datetime import datetime
from pathlib import Path

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import UsageError
from reconciler.core.suspension import EVERYTHING


@declare("suspend", short_help="Let the watcher leave models alone.")
@click.argument("models", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every model, also those that come later.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; shown in `modelctl status`.")
@click.option("--until", metavar="TIME", help="HH:MM, ISO 8601 or 2h; without it, until `modelctl resume`.")
def command(
    context: Context, *, models: tuple[str, ...], everything: bool, reason: str, until: str | None
) -> None:
    """Let the watcher leave MODELS alone: what runs goes on, crashes are restarted, nothing else is done.

    `modelctl apply` by hand is not held back: it says what is suspended, and does what it is asked for.
    """
    from reconciler.cli.suspending import named  # noqa: PLC0415
    from reconciler.cli.until import moment_of  # noqa: PLC0415
    from reconciler.core.events import EventType  # noqa: PLC0415
    from reconciler.core.suspension import Suspension  # noqa: PLC0415
    from reconciler.host.local_time import LOCAL  # noqa: PLC0415
    from reconciler.host.records import Records  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415

    if not reason.strip() or not reason.isprintable():
        raise UsageError(
            "--reason takes one line of words", hint="say why, for whoever reads `modelctl status`"
        )
    now = time.time()
    end = None if until is None else moment_of(until, datetime.fromtimestamp(now, LOCAL)).timestamp()
    folder = Path(context.spec)
    with session.open_folder(folder).state(create=True) as state:
        records = Records(state)
        suspended = [
            Suspension(resource, reason, now, end)
            for resource in named(folder, state, models, everything=everything)
        ]
        for one in suspended:
            records.suspend(one)
            records.write(EventType.SUSPENDED, _word(one.resource), reason)
    ends = f" until {datetime.fromtimestamp(end).astimezone():%Y-%m-%d %H:%M}" if end is not None else ""
    context.output.document(
        {"suspended": [one.document() for one in suspended]},
        lambda: "\n".join(f"{_word(one.resource)} is suspended{ends}: {reason}" for one in suspended),
    )


def _word(resource: str) -> str:
    return "everything" if resource == EVERYTHING else resource
