"""`modelctl logs`: what a runtime's server says."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import UsageError
from reconciler.core.suggest import did_you_mean
from reconciler.core.types import UnitName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.inventory import OwnedUnit
    from reconciler.host.supervisors.base import Supervisor
    from reconciler.kinds.route.types import RouteWorld

_OURS = ("modelctl-gateway", "modelctl-watch")
"""Units beside the runtimes."""


@declare("logs", short_help="Show what a runtime's server says.")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="Lines from before."
)
def command(context: Context, *, name: str, follow: bool, lines: int) -> None:
    """Show the log of NAME: a model, a runtime (llama@model-profile), modelctl-gateway or modelctl-watch."""
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.gateway import observe_gateway  # noqa: PLC0415

    site = session.open_folder(Path(context.spec))
    with site.state() as state:
        unit = _ours(name, site.supervisor) or _runtime(name, state.units(), observe_gateway(site, state, {}))
    for line in site.supervisor.log(unit, lines=lines, follow=follow):
        context.output.raw(line)


def _ours(name: str, supervisor: "Supervisor") -> UnitName | None:
    unit = UnitName(name)
    return unit if name in _OURS and supervisor.unit_path(unit).exists() else None


def _runtime(name: str, units: "Mapping[UnitName, OwnedUnit]", gateway: "RouteWorld") -> UnitName:
    """The runtime of this name, or of the model of this name; of several that which serves."""
    matching = [unit for unit in units.values() if name in {unit.name, unit.model}]
    serving = [unit for unit in matching if gateway.sends_to(unit)]
    wanted = serving or [unit for unit in matching if unit.retired_at is None] or matching
    if len(wanted) == 1:
        return wanted[0].name
    if wanted:
        names = ", ".join(unit.name for unit in wanted)
        raise UsageError(f"{name} has several runtimes", hint=f"one of: {names}")
    raise UsageError(f"no runtime is called {name!r}", hint=did_you_mean(name, units) or "`modelctl status`")
