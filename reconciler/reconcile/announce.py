"""Writes down what an apply did for those who want to hear of it, and what failed for those who try again."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from reconciler.core.attempts import Attempt, failed
from reconciler.core.errors import GivenUpError
from reconciler.core.events import EventType
from reconciler.core.operations import Operation, Verb
from reconciler.core.plan import Plan, Revision
from reconciler.core.types import ModelId
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.kinds.route.types import RouteChange
from reconciler.kinds.unit.types import UnitChange, UnitReturn
from reconciler.reconcile.executor import Listener, Outcome, Result

APPLIED = "applied"
"""Key of the note that says which revision was last reached whole."""
ATTEMPTED = "attempted"
"""Key of the note that says which revision was last begun."""

_DONE = {
    ("unit", Verb.CHECK): (EventType.RUNTIME_READY, "it answers"),
    ("unit", Verb.RESTORE): (EventType.RUNTIME_RESTORED, "what answered before answers again"),
    ("unit", Verb.REMOVE): (EventType.RUNTIME_REMOVED, "its unit is gone"),
    ("artifact", Verb.LINK): (EventType.VERSION_STORED, "its files are in the store"),
}


class Announcer(Listener):
    """Events, attempts and revisions of one apply."""

    def __init__(self, state: State, plan: Plan) -> None:
        self._state = state
        self._records = Records(state)
        self._plan = plan
        self._revision = plan.revision.commit
        self._failures: dict[ModelId, Attempt] = {}
        count = len(plan.operations)
        self._records.write(
            EventType.APPLY_BEGAN,
            "apply",
            f"{count} operation{'s' if count != 1 else ''} for {plan.revision}",
            self._revision,
        )
        record_revision(self._records, ATTEMPTED, plan)

    def ended(self, result: Result) -> None:
        operation = result.operation
        if operation.verb is Verb.RESTORE and result.outcome is not Outcome.SKIPPED:
            self._name_what_failed(operation)
        if result.outcome is Outcome.FAILED:
            self._failed(operation, str(result.error))
        elif result.outcome is Outcome.DONE:
            self._done(operation)

    def close(self, results: Mapping[str, Result]) -> None:
        """Say how the whole ended."""
        bad = [result for result in results.values() if result.outcome is Outcome.FAILED]
        waiting = [
            one for one in self._records.attempts().values() if one.revision == identity(self._plan.revision)
        ]
        open_ = any(isinstance(result.error, GivenUpError) for result in results.values())
        if self._plan.whole and not (bad or open_ or waiting or self._plan.refused):
            record_revision(self._records, APPLIED, self._plan)
        told = f"{self._plan.revision} is applied{'' if self._plan.whole else ', but for what was left out'}"
        if bad:
            told = f"{len(bad)} of {len(results)} operations failed"
        elif open_:
            told = "downloads were given up for now, since something else is wanted first"
        self._records.write(EventType.APPLY_ENDED, "apply", told, self._revision)

    def _done(self, operation: Operation) -> None:
        model = None if _is_kept(operation) else model_of(operation)
        if model is not None and operation.verb is Verb.CHECK:
            self._records.forget_attempts([model])
        if model is not None and operation.verb is Verb.RESTORE and model in self._failures:
            # What answered before is back: trying the same again would only take it down once more.
            told = self._failures[model]
            self._records.put_attempt(
                Attempt(model, told.revision, told.failures, told.at, None, told.message)
            )
        if (operation.kind, operation.verb) in _DONE:
            kind, message = _DONE[operation.kind, operation.verb]
            self._records.write(kind, operation.resource, message, self._revision)

    def _name_what_failed(self, restore: Operation) -> None:
        """What stays with the unit tells of a version, or of settings, that it does not have any more."""
        back = restore.payload.previous if isinstance(restore.payload, UnitReturn) else restore.payload
        if not isinstance(back, UnitChange):
            return
        kept, unit = back.unit.version, self._state.units().get(back.unit.name)
        if unit is None or unit.failure is None:
            return
        tried = next(
            (change.unit.version for change in self._changes() if change.unit.model == unit.model), kept
        )
        what = str(tried) if tried != kept else f"what {self._plan.revision} changed"
        self._state.put_unit(replace(unit, failure=f"{what} did not hold, {kept} is kept: {unit.failure}"))

    def _changes(self) -> Iterator[UnitChange]:
        """What was to be proven."""
        for step in self._plan.operations:
            if step.verb is Verb.CHECK and isinstance(step.payload, UnitChange):
                yield step.payload

    def _failed(self, operation: Operation, message: str) -> None:
        model = None if _is_kept(operation) else model_of(operation)
        if model is not None and model not in self._failures:
            before = self._records.attempts().get(model)
            attempt = failed(before, model, identity(self._plan.revision), time.time(), message)
            self._failures[model] = attempt
            self._records.put_attempt(attempt)
        runtime = operation.kind == "unit" and operation.verb in {Verb.CHECK, Verb.RESTORE}
        kind = EventType.RUNTIME_FAILED if runtime else EventType.OPERATION_FAILED
        told = message if runtime else f"{operation.verb} failed: {message}"
        self._records.write(kind, operation.resource, told, self._revision)


def identity(revision: Revision) -> str:
    """What an attempt is counted for: a commit, or the work tree on top of it."""
    return f"{revision.commit}+work-tree" if revision.dirty else str(revision.commit)


def _is_kept(operation: Operation) -> bool:
    """Whether it is about what was brought back: how that fares says nothing of the revision."""
    return isinstance(operation.payload, UnitChange) and operation.payload.kept


def model_of(operation: Operation) -> ModelId | None:
    """The model that an operation is about; None when it is about none, or about all."""
    if isinstance(operation.payload, UnitChange):
        return operation.payload.unit.model
    if isinstance(operation.payload, UnitReturn):
        return operation.payload.previous.unit.model
    if isinstance(operation.payload, RouteChange):
        return operation.payload.route.model
    if operation.kind == "artifact":
        return ModelId(operation.resource.partition("@")[0])
    return None


def record_revision(records: Records, key: str, plan: Plan) -> None:
    """Note the revision of `plan` as the last attempted or the last applied."""
    note_revision(records, key, plan.revision)


def note_revision(records: Records, key: str, revision: Revision) -> None:
    """As `record_revision`, where there is no plan."""
    named = {"revision": revision.commit, "dirty": revision.dirty}
    before = records.note(key)
    if key == ATTEMPTED or {name: before.get(name) for name in named} != named:
        records.put_note(key, {**named, "at": time.time()})


def reached(records: Records, plan: Plan) -> None:
    """A plan for everything has nothing left to do: its revision is applied, though perhaps bit by bit."""
    if plan.has_changes or plan.refused or not plan.whole:
        return
    applied = records.note(APPLIED)
    if (applied.get("revision"), applied.get("dirty")) != (plan.revision.commit, plan.revision.dirty):
        record_revision(records, ATTEMPTED, plan)
        record_revision(records, APPLIED, plan)
