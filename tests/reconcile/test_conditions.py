"""What `status` says of what is not as it should be, with what mends it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.attempts import Attempt
from reconciler.core.inventory import OwnedUnit
from reconciler.core.plan import Plan, Refusal, Revision
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.core.units import UnitState, UnitStatus
from reconciler.host.processes import birth
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.reconcile.conditions import WATCHER, of_plan, of_records, of_unit

UNIT = OwnedUnit(
    UnitName("llama@a-max"), ModelId("a"), VersionId("v1"), ProfileName("max"), "", "h", "", "h", "h", 1
)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with State.open(tmp_path / "state.db", create=True) as state:
        yield Records(state)


@pytest.mark.parametrize("state", [UnitState.STOPPED, UnitState.FAILED, UnitState.ABSENT])
def test_a_runtime_that_nobody_starts_names_the_command_that_does(state: UnitState) -> None:
    status = UnitStatus(UNIT.name, state, detail="exit status 1")
    [found] = of_unit(UNIT, status, ready=False, held=False, revision=None)
    assert "exit status 1; " in found.message
    assert "`modelctl apply`" in found.message


def test_a_refusal_keeps_its_hint() -> None:
    refused = (Refusal("llama@a-max", "its port is in use by nc (pid 7)", "stop that program"),)
    [found] = of_plan(Plan(Revision(None, dirty=True), 1, "max", (), refused, ()))
    assert found.message == "its port is in use by nc (pid 7) (stop that program)"


def test_what_is_not_tried_again_says_what_lets_it(records: Records) -> None:
    message = "it ended before it was ready; its log ends:\n    | no such file"
    records.put_attempt(Attempt(ModelId("a"), "c1", 1, 0.0, None, message))
    [found] = of_records(records)
    assert found.message == (
        "not tried again before there is a new commit or `modelctl resume a`: it ended before it was ready"
    )
    records.put_attempt(Attempt(ModelId("a"), "c1", 1, 0.0, 1.0, message))
    [found] = of_records(records)
    assert found.message.startswith("failed once, the watcher tries again in ")


def test_a_process_with_the_number_of_a_watcher_that_is_gone_is_not_taken_for_it(records: Records) -> None:
    note = {"pid": os.getpid(), "conditions": [], "dirty": False, "follow": "commit", "revision": None}
    records.put_note(WATCHER, {**note, "birth": birth(os.getpid())})
    assert of_records(records) == []
    records.put_note(WATCHER, {**note, "birth": "another boot"})
    [found] = of_records(records)
    assert (found.reason, found.is_fault) == ("WatcherGone", True)
