"""`modelctl resume`: the watcher takes models up again, and what a person stopped is started."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import ExitCode
from reconciler.core.suspension import EVERYTHING, in_force
from reconciler.core.types import ModelId

if TYPE_CHECKING:
    from reconciler.core.inventory import OwnedUnit
    from reconciler.host.records import Records
    from reconciler.host.state import State
    from reconciler.reconcile.site import Site


@declare("resume", short_help="End a suspension, and start what was stopped by hand.")
@click.argument("models", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="End every suspension, and start all that is held.")
def command(context: Context, *, models: tuple[str, ...], everything: bool) -> ExitCode:
    """End the suspension of MODELS, start those that a person stopped, and let what failed be tried again.

    What `modelctl status` says of a change that did not hold is taken as read.

    What is started is what the spec of the checked-out commit says; outside Git, the spec as it is saved.
    """
    from reconciler.cli.suspending import named  # noqa: PLC0415
    from reconciler.host.records import Records  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415

    folder = Path(context.spec)
    site = session.open_folder(folder)
    with site.state(create=True) as state:
        records = Records(state)
        asked = named(folder, state, models, everything=everything)
        ended = _end_suspensions(records, asked)
        records.forget_attempts(None if everything else map(ModelId, asked))
        read = _take_as_read(context, site, state, asked)
        held = _held(site, state, asked)
        still = in_force(records.suspensions(), time.time()).get(EVERYTHING)
    for resource in ended:
        context.output.note(f"{'everything' if resource == EVERYTHING else resource} is resumed")
    for model in read:
        context.output.note(f"the change of {model} that did not hold is taken as read")
    if still is not None:
        context.output.note(
            f"everything is still suspended: {still.reason}; `modelctl resume --all` ends that"
        )
    if held:
        return _start(context, folder, held)
    if not ended and not read and still is None:
        context.output.note("nothing was suspended or held")
    context.output.document({"resumed": ended, "started": []}, lambda: "")
    return ExitCode.OK


def _end_suspensions(records: "Records", asked: Sequence[str]) -> list[str]:
    from reconciler.core.events import EventType  # noqa: PLC0415

    resources = [one.resource for one in records.suspensions()] if EVERYTHING in asked else asked
    ended = [resource for resource in resources if records.resume(resource)]
    for resource in ended:
        records.write(
            EventType.RESUMED, "everything" if resource == EVERYTHING else resource, "resumed by hand"
        )
    return ended


def _take_as_read(context: Context, site: "Site", state: "State", asked: Collection[str]) -> list[ModelId]:
    """Models whose last change failed and that answer nevertheless: there is nothing left to be done."""
    from dataclasses import replace  # noqa: PLC0415

    from reconciler.cli.locking import machine_lock  # noqa: PLC0415

    def failed() -> "list[OwnedUnit]":
        return [
            unit
            for unit in state.units().values()
            if (EVERYTHING in asked or unit.model in asked)
            and unit.failure is not None
            and unit.ready_hash == unit.config_hash
        ]

    if not failed():
        return []
    with machine_lock(context, site):
        units = failed()
        for unit in units:
            state.put_unit(replace(unit, failure=None))
    return [unit.model for unit in units]


def _held(site: "Site", state: "State", asked: Collection[str]) -> frozenset[ModelId]:
    """Models among those asked for that a person stopped."""
    from reconciler.reconcile.status import is_held  # noqa: PLC0415

    owned = {name: unit for name, unit in state.units().items() if EVERYTHING in asked or unit.model in asked}
    if not owned or not site.supervisor.is_running():
        return frozenset()
    statuses = site.supervisor.observe(list(owned))
    return frozenset(
        unit.model for name, unit in owned.items() if is_held(unit, statuses[name], supervised=True)
    )


def _start(context: Context, folder: Path, models: frozenset[ModelId]) -> ExitCode:
    from reconciler.cli.applying import apply_plan  # noqa: PLC0415
    from reconciler.cli.locking import locked_source  # noqa: PLC0415
    from reconciler.host import git  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.plan import Request  # noqa: PLC0415

    reference = None if git.revision(folder).commit is None else "HEAD"
    source = session.read_source(folder, reference)
    with locked_source(context, source, reference) as (source, site), site.state(create=True) as state:
        plan = session.plan(source, site, state, Request(only=models, resume=models))
        return apply_plan(context, plan, site, state, yes=True)
