"""Lockouts as other programs write them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.gpu import LockoutText
from reconciler.gpu.lockouts import (
    Lockout,
    Lockouts,
    locked_gpus,
    parse_until,
    read,
    unknown_gpus,
    without,
)
from tests.gpu.cards import GTX_1080_TI, RTX_5080, THREE

NOW = datetime(2025, 11, 17, 20, 0, tzinfo=timezone(timedelta(hours=1)))
PATH = "/etc/modelctl/gpu_lockout"
GAMING = Lockout(("0",), "Gaming session", datetime(2025, 11, 17, 22, 0, tzinfo=UTC))
LAST = Lockouts(PATH, (GAMING,))


def source(content: object) -> LockoutText:
    return LockoutText(PATH, content if isinstance(content, str) else json.dumps(content), NOW)


def test_the_file_of_the_requirements() -> None:
    found = read(source({"lockout_gpus": ["0"], "reason": "Gaming session", "until": "2025-11-17T22:00:00Z"}))
    assert found == Lockouts(PATH, (GAMING,))
    assert locked_gpus(found.entries, THREE, NOW) == {RTX_5080.uuid: "Gaming session, until 23:00"}
    day_before = NOW - timedelta(days=1)
    assert found.entries[0].why(day_before) == "Gaming session, until 23:00 on 2025-11-17"


def test_a_lockout_ends_at_its_time_without_anybody_doing_anything() -> None:
    end = datetime(2025, 11, 17, 22, 0, tzinfo=UTC)
    assert locked_gpus([GAMING], THREE, end - timedelta(seconds=1))
    assert locked_gpus([GAMING], THREE, end) == {}


@pytest.mark.parametrize("wanted", ["0", 0, "GPU-0", "gpu-0", "RTX 5080", "5080"])
def test_gpus_are_named_by_number_uuid_or_name(wanted: object) -> None:
    found = read(source({"lockout_gpus": [wanted]}))
    assert locked_gpus(found.entries, THREE, NOW) == {RTX_5080.uuid: "no reason given"}
    assert found.problems == ()


def test_several_lockouts_may_stand_in_one_file() -> None:
    found = read(
        source([{"lockout_gpus": ["0"], "reason": "game"}, {"lockout_gpus": ["GTX"], "reason": "VM"}])
    )
    assert locked_gpus(found.entries, THREE, NOW) == {RTX_5080.uuid: "game", GTX_1080_TI.uuid: "VM"}


@pytest.mark.parametrize("content", [{"lockout_gpus": []}, []])
def test_an_empty_list_locks_nothing(content: object) -> None:
    assert locked_gpus(read(source(content), LAST).entries, THREE, NOW) == {}


def test_no_file_means_no_lockout() -> None:
    assert read(LockoutText(PATH, None), LAST) == Lockouts(PATH)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"lockout_gpus": ["0"], "rea',
        "null",
        "3",
        '"0"',
        "[3]",
        "{}",
        '{"lockout_gpus": "0"}',
        '{"lockout_gpus": [null]}',
        '{"lockout_gpus": [true]}',
        '[{"lockout_gpus": ["1"]}, {}]',
        "[" * 100_000,
    ],
)
def test_a_malformed_file_leaves_the_last_lockouts_in_force(content: str) -> None:
    found = read(source(content), LAST)
    assert found.entries == (GAMING,)
    assert found.problems
    assert read(source(content)).entries == ()


def test_an_unreadable_file_leaves_the_last_lockouts_in_force() -> None:
    found = read(LockoutText(PATH, None, problem="Permission denied"), LAST)
    assert found.entries == (GAMING,)
    assert found.problems == (f"{PATH}: Permission denied; its last lockouts hold",)


def test_an_end_that_cannot_be_read_holds_and_is_shown() -> None:
    for until in ("ten", "25:00", 1763, "2025-13-01"):
        found = read(source({"lockout_gpus": ["0"], "until": until}))
        assert locked_gpus(found.entries, THREE, NOW + timedelta(days=3650))
        assert "neither HH:MM nor ISO 8601" in found.problems[0]


def test_unknown_keys_are_shown_and_ignored() -> None:
    found = read(source({"lockout_gpus": ["0"], "untill": "22:00"}))
    assert found.entries[0].until is None
    assert found.problems == (f"{PATH}: unknown key 'untill' is ignored",)


def test_names_that_fit_no_gpu_are_told() -> None:
    lockouts = [Lockout(("7", "RTX 5080", "Radeon"), "x")]
    assert unknown_gpus(lockouts, THREE, NOW) == ("7", "Radeon")


def test_taking_one_gpu_out_leaves_the_other_and_drops_what_is_over() -> None:
    over = Lockout(("1",), "over", NOW)
    both = Lockout(("0", "GTX 1080 Ti"), "both")
    assert without([GAMING, over, both], [RTX_5080], NOW) == (Lockout(("GTX 1080 Ti",), "both"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00", "2025-11-17T22:00:00+01:00"),
        ("20:00", "2025-11-18T20:00:00+01:00"),
        ("06:30", "2025-11-18T06:30:00+01:00"),
        ("2025-11-17T22:00:00Z", "2025-11-17T22:00:00+00:00"),
        ("2025-11-17T22:00", "2025-11-17T22:00:00+01:00"),
        ("2025-11-17 22:00:00-05:00", "2025-11-17T22:00:00-05:00"),
    ],
)
def test_ends_are_times_of_day_or_iso(text: str, expected: str) -> None:
    assert parse_until(text, NOW).isoformat() == expected


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)), st.times())
def test_a_time_of_day_is_the_next_one(after: datetime, clock) -> None:
    if after.year > 9998:
        return
    moment = parse_until(f"{clock:%H:%M}", after)
    assert timedelta(0) < moment - after <= timedelta(days=1)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        (datetime(2025, 10, 25, 23, 0, tzinfo=BERLIN), "08:00", "2025-10-26T08:00:00+01:00"),
        (datetime(2026, 3, 28, 23, 0, tzinfo=BERLIN), "08:00", "2026-03-29T08:00:00+02:00"),
        (datetime(2025, 7, 1, 12, 0, tzinfo=BERLIN), "2025-12-01T18:00", "2025-12-01T18:00:00+01:00"),
    ],
)
def test_a_time_of_day_is_that_of_its_own_day_when_the_clocks_change(
    now: datetime, text: str, expected: str
) -> None:
    end = parse_until(text, now)
    assert end.isoformat() == expected
    assert f"until {expected[11:16]}" in Lockout(("0",), "game", end).why(now)


def test_a_lockout_ends_in_the_hour_that_comes_twice() -> None:
    first = datetime(2025, 10, 26, 2, 50, tzinfo=BERLIN)
    lockout = Lockout(("0",), "game", parse_until("02:55", first))
    assert lockout.holds_at(first)
    assert not lockout.holds_at(first.replace(minute=10, fold=1))


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"])
def test_the_ends_of_the_calendar_are_times_too(until: str) -> None:
    found = read(source({"lockout_gpus": ["0"], "until": until}))
    assert found.problems == ()
    assert bool(locked_gpus(found.entries, THREE, NOW)) == until.startswith("9")


def test_words_of_other_programs_are_fit_for_a_terminal() -> None:
    found = read(source({"lockout_gpus": ["0"], "reason": "two\nlines \x1b[31m" + 1000 * "x"}))
    assert found.entries[0].reason == ("two lines ?[31m" + 1000 * "x")[:200]


def test_a_broken_file_that_was_never_seen_whole_says_that_it_locks_nothing() -> None:
    broken = read(source("{"))
    assert broken.problems == (f"{PATH} is not valid JSON; it locks nothing until it can be read",)
    assert read(source("{"), broken) == broken
    assert read(source("{"), LAST).problems == (f"{PATH} is not valid JSON; its last lockouts hold",)


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["0", "GPU-0", "RTX 5080"]), min_size=1), PRINTABLE)
def test_what_is_written_is_read_back(gpus: list[str], reason: str) -> None:
    lockout = Lockout(tuple(gpus), reason, NOW)
    assert read(source([lockout.document()])) == Lockouts(PATH, (lockout,))
