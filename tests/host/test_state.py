"""The state database: made once, kept over releases, and shared by several processes."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.errors import FormatError
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.host.state import State


def unit(name: str = "llama@a-max") -> OwnedUnit:
    return OwnedUnit(
        name=UnitName(name),
        model=ModelId("a"),
        version=VersionId("v1"),
        profile=ProfileName("max"),
        endpoint="http://127.0.0.1:8601",
        config_hash="1:00",
        text="[Unit]\n",
        started_hash="1:00",
        ready_hash=None,
        generation=1,
    )


def test_what_was_put_is_there_after_opening_again(tmp_path: Path) -> None:
    with State.open(tmp_path / "s.db", create=True) as state:
        state.put_unit(unit())
    with State.open(tmp_path / "s.db", create=False) as state:
        assert state.units() == {"llama@a-max": unit()}


def test_a_database_that_is_not_there_reads_as_empty_and_is_not_made(tmp_path: Path) -> None:
    with State.open(tmp_path / "s.db", create=False) as state:
        assert state.units() == {}
        assert state.generation() is None
    assert not (tmp_path / "s.db").exists()


def test_many_that_open_a_new_database_together_make_one(tmp_path: Path) -> None:
    def open_and_put(number: int) -> None:
        with State.open(tmp_path / "s.db", create=True) as state:
            state.put_unit(unit(f"llama@{number}-max"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(open_and_put, range(16)))
    with State.open(tmp_path / "s.db", create=False) as state:
        assert len(state.units()) == 16


def test_a_generation_keeps_the_units_but_those_that_go(tmp_path: Path) -> None:
    with State.open(tmp_path / "s.db", create=True) as state:
        state.put_unit(unit("llama@a-max"))
        state.put_unit(unit("llama@b-max"))
        number = state.commit_generation("c1", dirty=False, profile="max", without=[UnitName("llama@b-max")])
        kept = state.generation(number)
        assert kept is not None
        assert [one.name for one in kept.units] == ["llama@a-max"]


def test_an_apply_that_was_killed_has_an_open_entry(tmp_path: Path) -> None:
    with State.open(tmp_path / "s.db", create=True) as state:
        apply = state.begin_apply()
        state.journal_start(apply, ["unit:start:a", "unit:start:b"])
        state.journal_end(apply, [("unit:start:a", "done", None)])
        assert [entry.ended_at is None for entry in state.last_apply()] == [False, True]


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be looked at", b"SQLite format 3\0" + b"x" * 200]
)
def test_a_broken_database_says_how_to_go_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.db").write_bytes(content)
    with pytest.raises(FormatError) as raised:
        State.open(tmp_path / "s.db", create=False)
    assert "mv " in str(raised.value.hint)


def test_a_later_release_is_told_apart_from_damage(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(FormatError, match="later release"):
        State.open(tmp_path / "s.db", create=False)
