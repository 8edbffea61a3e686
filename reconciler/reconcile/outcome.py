"""What is on record once a change of version held or did not, beside what the apply itself wrote down."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.core.attempts import Attempt
from reconciler.core.errors import ModelctlError
from reconciler.core.plan import Revision
from reconciler.core.types import ModelId
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.kinds.placement.apply import handlers as place_handlers
from reconciler.reconcile.announce import ATTEMPTED, note_revision, reached
from reconciler.reconcile.executor import execute
from reconciler.reconcile.plan import Request
from reconciler.reconcile.session import Source, plan, read_source
from reconciler.reconcile.site import Site
from reconciler.reconcile.versions import Change


@dataclass(frozen=True, slots=True)
class Before:
    """What was on record of a model before a change of its version."""

    generation: int
    attempted: dict[str, Any]
    attempt: Attempt | None


def before(state: State, model: ModelId) -> Before:
    """To be asked under the lock, and kept for what comes after the change."""
    records, latest = Records(state), state.generation()
    return Before(latest.number if latest else 0, records.note(ATTEMPTED), records.attempts().get(model))


def committed(commit: str, change: Change, was: Before, *, folder: Path, site: Site, state: State) -> None:
    """The edit that was applied and proven is a commit now: that is the revision that was applied.

    Unless edits of other files took part, which are no part of it; then it stays on record as it was.
    """
    try:
        source = read_source(folder, commit)
        whole = plan(source, site, state, Request())
        part = plan(source, site, state, Request(only=frozenset({change.model})))
    except ModelctlError:
        return  # without the other files the commit is no spec, and so not what was applied
    if part.has_changes:
        return
    latest = state.generation()
    if latest is not None and latest.number > was.generation:
        state.rename_revision(latest.number, commit)
    note_revision(Records(state), ATTEMPTED, Revision(commit, dirty=False))
    reached(Records(state), whole)


def taken_back(change: Change, was: Before, *, source: Source, site: Site, state: State) -> bool:
    """The edit was never written, so nothing waits for it: neither a watcher, nor a placement on disk.

    Why it failed stays with the model's unit and in the history. Returns whether the version before answers.
    """
    records = Records(state)
    records.put_note(ATTEMPTED, was.attempted)
    if was.attempt is None:
        records.forget_attempts([change.model])
    else:
        records.put_attempt(was.attempt)
    units = [unit for unit in state.units().values() if unit.model == change.model]
    _place_again(source, site, state, change.model)
    return any(unit.version == change.before and unit.answered for unit in units)


def _place_again(source: Source, site: Site, state: State, model: ModelId) -> None:
    """Where what failed lay over several devices is no guide for what serves."""
    wanted = plan(source, site, state, Request(only=frozenset({model})))
    handlers = place_handlers(site.overrides_cache)
    placements = [step for step in wanted.operations if (step.kind, step.verb) in handlers]
    execute([replace(step, depends_on=()) for step in placements], handlers)
