"""What was brought back is mended when it ends, and ever less often where that fails."""

import time

import pytest

from reconciler.core.attempts import Attempt
from reconciler.core.errors import UnhealthyError
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.kinds.unit.types import UnitChange
from reconciler.reconcile.executor import Outcome, Result
from reconciler.watch.keeping import Keeping

A, B = ModelId("a"), ModelId("b")


def given_up(model: ModelId, revision: str = "one", *, retry_at: float | None = None) -> Attempt:
    return Attempt(model, revision, 1, 0.0, retry_at, "no token")


def checked(outcome: Outcome, *, kept: bool = True) -> dict[str, Result]:
    name = UnitName("llama@a-max")
    unit = OwnedUnit(
        name, A, VersionId("v"), ProfileName("max"), "http://127.0.0.1:1", "h", "", None, None, 1
    )
    payload = UnitChange(unit, None, embedding=False, ready_seconds=1.0, memory_limit=None, kept=kept)
    check = Operation(Verb.CHECK, "unit", name, "why", payload=payload)
    error = UnhealthyError("no token") if outcome is Outcome.FAILED else None
    return {check.id: Result(check, outcome, 1.0, error)}


def test_only_what_is_given_up_at_this_revision_is_kept() -> None:
    attempts = [given_up(A), given_up(B, retry_at=1.0), given_up(ModelId("c"), "another")]
    assert Keeping().due(attempts, "one") == {A}


def test_where_it_does_not_hold_it_is_tried_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    keeping = Keeping()
    for wait in (10.0, 20.0, 40.0):
        keeping.heard(checked(Outcome.FAILED))
        now += wait - 1
        assert keeping.due([given_up(A)], "one") == frozenset()
        now += 1
        assert keeping.due([given_up(A)], "one") == {A}
    keeping.heard(checked(Outcome.DONE))
    keeping.heard(checked(Outcome.FAILED))
    now += 10
    assert keeping.due([given_up(A)], "one") == {A}


def test_the_failure_of_the_change_itself_is_none_of_its_matters() -> None:
    keeping = Keeping()
    keeping.heard(checked(Outcome.FAILED, kept=False))
    assert keeping.due([given_up(A)], "one") == {A}
