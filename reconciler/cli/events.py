"""`modelctl events`: what happened, and what happens."""

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import Style, paint
from reconciler.core.events import EventType

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.core.events import Event
    from reconciler.host.state import State

_POLL_SECONDS = 0.2
_BAD = (
    EventType.OPERATION_FAILED, EventType.RUNTIME_FAILED, EventType.RUNTIME_GAVE_UP, EventType.SPEC_INVALID,
    EventType.BLOCKED, EventType.HOOK_FAILED,
)  # fmt: skip


@declare("events", short_help="Show what happened.")
@click.option("-f", "--follow", is_flag=True, help="Go on, until Ctrl-C.")
@click.option("-n", "--last", type=click.IntRange(min=0), default=20, show_default=True, help="How many.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice([kind.value for kind in EventType]),
    metavar="TYPE",
    help="Only events of this type; may be repeated.",
)
def command(context: Context, *, follow: bool, last: int, types: tuple[str, ...]) -> None:
    """Show what happened, oldest first: applies, failures, restarts, suspensions, and what the watcher saw.

    With --format json one document per line.
    """
    from reconciler.host.records import Records  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415

    site = session.open_folder(Path(context.spec))
    wanted = frozenset(map(EventType, types)) or frozenset(EventType)
    with site.state(create=follow) as state:
        every = Records(state).events()
        found = [event for event in every if event.type in wanted]
        for event in found[max(0, len(found) - last) :]:
            _show(context, event)
        if follow:
            _follow(context, state, wanted, every[-1].number if every else 0)
    while follow:  # another database lies there by now: what it says is all new
        with site.state(create=True) as state:
            _follow(context, state, wanted, 0)


def _follow(context: Context, state: "State", wanted: "Collection[EventType]", seen: int) -> None:
    """Show what comes after `seen`, for as long as the database is the one that was opened."""
    from reconciler.host.records import Records  # noqa: PLC0415

    records = Records(state)
    while state.is_current:
        for event in records.events(after=seen):
            seen = event.number
            if event.type in wanted:
                _show(context, event)
        time.sleep(_POLL_SECONDS)


def _show(context: Context, event: "Event") -> None:
    style = Style.BAD if event.type in _BAD else Style.DIM
    when = datetime.fromtimestamp(event.at).astimezone()
    text = f"{when:%Y-%m-%d %H:%M:%S}  {paint(event.type.value, style)}  {event.resource}  {event.message}"
    context.output.event(event.document(), text)
