"""What an apply leaves behind: events, revisions, and what failed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.errors import SourceError, UnhealthyError
from reconciler.core.events import EventType
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When
from reconciler.core.plan import Plan, Revision
from reconciler.core.suspension import Suspension, in_force
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.kinds.unit.types import UnitChange
from reconciler.reconcile.announce import APPLIED, ATTEMPTED, Announcer
from reconciler.reconcile.executor import Outcome, Result

A = ModelId("a")
COMMIT = "c" * 40


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State.open(tmp_path / "state.db", create=True) as opened:
        yield opened


def unit(version: str) -> OwnedUnit:
    return OwnedUnit(
        UnitName("llama@a-max"),
        A,
        VersionId(version),
        ProfileName("max"),
        "http://127.0.0.1:1",
        "h",
        "",
        None,
        None,
        1,
    )


def change(wanted: OwnedUnit) -> UnitChange:
    return UnitChange(wanted, None, embedding=False, ready_seconds=1.0, memory_limit=None)


def step(verb: Verb, when: When = When.SUCCESS) -> Operation:
    payload = change(unit("v"))
    return Operation(verb, "unit", payload.unit.name, "why", when=when, payload=payload)


def run(state: State, *results: Result, dirty: bool = False) -> Records:
    plan = Plan(Revision(COMMIT, dirty), 1, "max", tuple(result.operation for result in results), (), ())
    announcer = Announcer(state, plan)
    for result in results:
        announcer.ended(result)
    announcer.close({result.operation.id: result for result in results})
    return Records(state)


def test_a_success_is_told_and_the_revision_is_applied(state: State) -> None:
    records = run(state, Result(step(Verb.CHECK), Outcome.DONE, 1.0))
    assert [event.type for event in records.events()] == [
        EventType.APPLY_BEGAN,
        EventType.RUNTIME_READY,
        EventType.APPLY_ENDED,
    ]
    assert records.note(APPLIED)["revision"] == COMMIT
    assert records.attempts() == {}


def test_a_change_that_was_taken_back_is_not_to_be_tried_again(state: State) -> None:
    failure = Result(step(Verb.CHECK), Outcome.FAILED, 1.0, UnhealthyError("no token"))
    restored = Result(step(Verb.RESTORE, When.FAILURE), Outcome.DONE, 1.0)
    records = run(state, failure, restored)
    attempt = records.attempts()[A]
    assert attempt.settled
    assert (attempt.revision, attempt.message) == (COMMIT, "no token")
    assert records.note(ATTEMPTED)["revision"] == COMMIT
    assert records.note(APPLIED) == {}


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED])
def test_how_what_was_brought_back_fares_says_nothing_of_the_revision(state: State, outcome: Outcome) -> None:
    failure = Result(step(Verb.CHECK), Outcome.FAILED, 1.0, UnhealthyError("no token"))
    before = run(state, failure, Result(step(Verb.RESTORE, When.FAILURE), Outcome.DONE, 1.0)).attempts()
    check = replace(step(Verb.CHECK), payload=replace(change(unit("v1")), kept=True))
    records = run(state, Result(check, outcome, 1.0, UnhealthyError("nor this")))
    assert records.attempts() == before
    told = EventType.RUNTIME_READY if outcome is Outcome.DONE else EventType.RUNTIME_FAILED
    assert told in [event.type for event in records.events()]


def test_what_stays_with_the_unit_says_what_was_tried(state: State) -> None:
    kept = replace(unit("v1"), failure="no token")
    for tried, what in (("v2", "v2"), ("v1", f"what {COMMIT[:12]} changed")):
        state.put_unit(kept)
        check = replace(step(Verb.CHECK), payload=change(unit(tried)))
        restore = replace(step(Verb.RESTORE, When.FAILURE), payload=change(unit("v1")))
        run(
            state,
            Result(check, Outcome.FAILED, 1.0, UnhealthyError("no token")),
            Result(restore, Outcome.DONE, 1.0),
        )
        [left] = state.units().values()
        assert left.failure == f"{what} did not hold, v1 is kept: no token"


def test_a_failure_without_a_way_back_is_tried_again_later_and_a_success_forgets_it(state: State) -> None:
    failure = Result(step(Verb.CHECK), Outcome.FAILED, 1.0, UnhealthyError("no token"))
    run(state, failure)
    records = run(state, failure)
    attempt = records.attempts()[A]
    assert attempt.failures == 2
    assert attempt.retry_at is not None
    assert attempt.retry_at - attempt.at == 20
    run(state, Result(step(Verb.CHECK), Outcome.DONE, 1.0))
    assert records.attempts() == {}


def test_two_failures_of_one_apply_count_once(state: State) -> None:
    start = Result(step(Verb.START), Outcome.FAILED, 1.0, UnhealthyError("no start"))
    restore = Result(step(Verb.RESTORE, When.FAILURE), Outcome.FAILED, 1.0, UnhealthyError("nor back"))
    attempt = run(state, start, restore).attempts()[A]
    assert (attempt.failures, attempt.message, attempt.settled) == (1, "no start", False)


def test_a_download_that_fails_is_its_models_failure(state: State) -> None:
    pull = Operation(Verb.PULL, "artifact", "a@v/model.gguf", "missing")
    records = run(state, Result(pull, Outcome.FAILED, 1.0, SourceError("no network")))
    assert records.attempts()[A].message == "no network"
    assert records.events()[1].type is EventType.OPERATION_FAILED


def test_a_revision_is_not_applied_whole_while_one_of_its_models_waits(state: State) -> None:
    failure = Result(step(Verb.CHECK), Outcome.FAILED, 1.0, UnhealthyError("no token"))
    run(state, failure, Result(step(Verb.RESTORE, When.FAILURE), Outcome.DONE, 1.0))
    link = Operation(Verb.LINK, "artifact", "b@v", "missing")
    assert run(state, Result(link, Outcome.DONE, 1.0)).note(APPLIED) == {}


def test_old_events_go(state: State) -> None:
    records = Records(state)
    for number in range(5200):
        records.write(EventType.BLOCKED, "watch", str(number))
    found = records.events()
    assert 5000 <= len(found) <= 5064
    assert found[-1].message == "5199"
    assert [event.message for event in records.events(last=2)] == ["5198", "5199"]


def test_a_suspension_ends_by_time_or_by_hand(state: State) -> None:
    records = Records(state)
    records.suspend(Suspension("a", "a demo", 100.0, 200.0))
    records.suspend(Suspension("b", "for good", 100.0))
    assert set(in_force(records.suspensions(), 199.0)) == {"a", "b"}
    assert set(in_force(records.suspensions(), 200.0)) == {"b"}
    assert records.resume("b")
    assert not records.resume("b")
