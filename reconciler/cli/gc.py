"""`modelctl gc`: remove versions that nothing needs any more."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import table
from reconciler.core.sizes import format_bytes

if TYPE_CHECKING:
    from reconciler.reconcile.gc_plan import Collection


@declare("gc", short_help="Remove versions that nothing needs any more.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="Keep the N most recent versions of each model, and what the last N generations have.",
)
@click.option("--yes", is_flag=True, help="Remove it; without this it is only shown.")
def command(context: Context, *, keep: int, yes: bool) -> None:
    """Show what the store holds and nothing needs, and remove it with --yes.

    What the spec serves, what is pinned, what has a unit and what a running process has open stays in any
    case. Older versions go though the spec lists them: `modelctl pull MODEL@VERSION` brings them back.
    """
    from reconciler.cli.locking import locked_source  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.collect import carry_out_collection, plan_collection  # noqa: PLC0415

    source = session.read_source(Path(context.spec))
    with ExitStack() as held:
        if yes:
            source, site = held.enter_context(locked_source(context, source))
        else:
            site = session.open_source(source)
        state = held.enter_context(site.state())
        collection = plan_collection(source, site, state, keep)
        if yes:
            carry_out_collection(collection, site)
    context.output.document(
        {
            "removed": yes,
            "size_bytes": collection.size,
            "items": [item.document() for item in collection.items],
            "kept": [{"name": name, "reason": reason} for name, reason in collection.kept],
        },
        lambda: _render(collection, removed=yes),
    )


def _render(collection: "Collection", *, removed: bool) -> str:
    if not collection.items:
        return "nothing to remove"
    rows = [(item.kind, item.name, format_bytes(item.size), item.cause) for item in collection.items]
    total = f"{format_bytes(collection.size)} "
    total += "removed" if removed else "can be removed: modelctl gc --yes"
    return table(("KIND", "NAME", "FREES", "CAUSE"), rows) + f"\n{total}"
