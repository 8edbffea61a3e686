"""When the watcher acts, and when it waits: tables of facts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.attempts import FIRST_SECONDS, LONGEST_SECONDS, Attempt, failed
from reconciler.core.checkout import Checkout, Fetched
from reconciler.core.types import ModelId
from reconciler.watch.decide import (
    Facts,
    Forward,
    Memory,
    Pace,
    Reconcile,
    Settled,
    Wait,
    decide,
    follow_remote,
    held_back,
    next_retry,
    unfit,
)

PACE = Pace(look=10, full=60, least=1)
QUIET = Facts(
    now=100.0,
    source="c1",
    machine="m1",
    profile=None,
    suspended=frozenset(),
    everything_suspended=False,
    retry_in=None,
)
AFTER = Memory(at=95.0, source="c1", machine="m1", profile=None, suspended=frozenset())
A = ModelId("a")


def test_the_first_round_reconciles() -> None:
    assert decide(QUIET, None, PACE) == Reconcile("the watcher began")


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (replace(QUIET, source="c2"), "a new revision"),
        (replace(QUIET, machine="m2"), "the machine changed"),
        (replace(QUIET, profile="mid"), "profile mid is active"),
        (replace(QUIET, retry_in=-0.1), "time to try again what failed"),
        (replace(QUIET, now=155.0), "a look at everything"),
    ],
)
def test_what_wakes_it(facts: Facts, cause: str) -> None:
    assert decide(facts, AFTER, PACE) == Reconcile(cause)


def test_what_is_resumed_is_taken_up_at_once() -> None:
    memory = replace(AFTER, suspended=frozenset({"a", "b"}))
    assert decide(replace(QUIET, suspended=frozenset({"a"})), memory, PACE) == Reconcile("resumed: b")


@pytest.mark.parametrize(
    "facts", [replace(QUIET, source=None), replace(QUIET, source="c2", everything_suspended=True)]
)
def test_nothing_to_follow_or_everything_suspended_waits(facts: Facts) -> None:
    assert decide(facts, AFTER, PACE) == Wait(PACE.look)


def test_a_machine_that_flaps_does_not_make_it_spin() -> None:
    flapping = replace(QUIET, now=95.4, machine="m2")
    assert decide(flapping, AFTER, PACE) == Wait(pytest.approx(0.6))


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.none() | st.floats(-10, 1e4))
def test_a_wait_is_never_negative_nor_longer_than_a_look(now: float, at: float, retry: float | None) -> None:
    decision = decide(replace(QUIET, now=max(now, at), retry_in=retry), replace(AFTER, at=at), PACE)
    assert isinstance(decision, Reconcile) or 0 <= decision.seconds <= PACE.look


def test_the_same_failure_waits_twice_as_long_each_time() -> None:
    waits = []
    attempt: Attempt | None = None
    for _ in range(12):
        attempt = failed(attempt, A, "c1", 1000.0, "no")
        assert attempt.retry_at is not None
        waits.append(attempt.retry_at - 1000.0)
    assert waits[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert waits[-1] == LONGEST_SECONDS


def test_a_failure_at_another_revision_begins_anew() -> None:
    first = failed(failed(None, A, "c1", 0.0, "no"), A, "c1", 0.0, "no")
    assert failed(first, A, "c2", 0.0, "no").failures == 1


def test_what_was_restored_is_held_back_at_its_revision_only() -> None:
    restored = Attempt(A, "c2", 1, 0.0, None, "bad flags")
    assert held_back([restored], "c2", 1e9) == {A}
    assert held_back([restored], "c3", 1e9) == frozenset()
    assert next_retry([restored], "c2") is None


def test_what_waits_is_held_back_until_its_time() -> None:
    waiting = Attempt(A, "c2", 1, 0.0, 50.0, "no network")
    assert held_back([waiting], "c2", 49.0) == {A}
    assert held_back([waiting], "c2", 50.0) == frozenset()
    assert next_retry([waiting], "c2") == 50.0


CHECKOUT = Checkout(commit="c1" * 20, branch="main", dirty=False, operation=None)


@pytest.mark.parametrize(
    ("checkout", "reason"),
    [
        (None, "NotInGit"),
        (replace(CHECKOUT, commit=None), "NoCommit"),
        (replace(CHECKOUT, branch=None), "DetachedHead"),
        (replace(CHECKOUT, branch=None, operation="a rebase"), "GitBusy"),
        (CHECKOUT, None),
        (replace(CHECKOUT, dirty=True), None),
    ],
)
def test_which_checkouts_are_followed(checkout: Checkout | None, reason: str | None) -> None:
    blocked = unfit(checkout)
    assert (blocked.reason if blocked else None) == reason


def fetched(ahead: int, behind: int, *, rewritten: bool = False) -> Fetched:
    return Fetched("f" * 40, ahead, behind, rewritten)


@pytest.mark.parametrize(
    ("checkout", "found", "expected"),
    [
        (CHECKOUT, fetched(0, 0), None),
        (CHECKOUT, fetched(2, 0), None),
        (CHECKOUT, fetched(0, 3), Forward("f" * 40)),
        (CHECKOUT, fetched(1, 1), "RemoteMoved"),
        (CHECKOUT, fetched(0, 3, rewritten=True), "RemoteMoved"),
        (replace(CHECKOUT, dirty=True), fetched(0, 3), "WorkTreeDirty"),
        (replace(CHECKOUT, branch="topic"), fetched(0, 3), "OtherBranch"),
    ],
)
def test_only_a_fast_forward_of_the_same_clean_branch_is_followed(
    checkout: Checkout, found: Fetched, expected: object
) -> None:
    answer = follow_remote(checkout, found, "origin", "main")
    assert (answer.reason if hasattr(answer, "reason") else answer) == expected


def test_what_is_saved_counts_once_it_rests() -> None:
    seen = Settled().see("x", 10.0).see("y", 10.2).see("y", 10.4)
    assert seen.rest(10.4, 0.5) == pytest.approx(0.3)
    assert seen.rest(11.0, 0.5) == 0
