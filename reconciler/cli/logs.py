"""`modelctl logs`: what a runtime's server says."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import UsageError
from reconciler.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.inventory import OwnedUnit
    from reconciler.core.types import UnitName


@declare("logs", short_help="Show what a runtime's server says.")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="Lines from before."
)
def command(context: Context, *, name: str, follow: bool, lines: int) -> None:
    """Show the log of NAME: a runtime (llama@model-profile) or a model."""
    from reconciler.reconcile import session  # noqa: PLC0415

    site = session.open_folder(Path(context.spec))
    with site.state() as state:
        unit = _find(name, state.units())
    for line in site.supervisor.log(unit, lines=lines, follow=follow):
        context.output.raw(line)


def _find(name: str, units: "Mapping[UnitName, OwnedUnit]") -> "UnitName":
    """The runtime of this name, or the only one of the model of this name."""
    matching = [unit.name for unit in units.values() if name in {unit.name, unit.model}]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"{name} has several runtimes", hint=f"one of: {', '.join(matching)}")
    raise UsageError(f"no runtime is called {name!r}", hint=did_you_mean(name, units) or "`modelctl status`")
