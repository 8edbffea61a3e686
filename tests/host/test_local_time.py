"""Local time, across a change of the clocks."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from reconciler.host.local_time import LOCAL, local_now


@pytest.fixture(autouse=True)
def _central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Written out, so that it needs no database of time zones."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2025, 7, 1, 12, 0, tzinfo=UTC), "2025-07-01T14:00:00+02:00"),
        (datetime(2025, 12, 1, 12, 0, tzinfo=UTC), "2025-12-01T13:00:00+01:00"),
        (datetime(2025, 10, 26, 0, 30, tzinfo=UTC), "2025-10-26T02:30:00+02:00"),
        (datetime(2025, 10, 26, 1, 30, tzinfo=UTC), "2025-10-26T02:30:00+01:00"),
    ],
)
def test_a_moment_is_told_as_clocks_on_the_wall_tell_it(moment: datetime, expected: str) -> None:
    there = moment.astimezone(LOCAL)
    assert there.isoformat() == expected
    assert there.astimezone(UTC) == moment


def test_another_hour_of_another_season_has_its_own_offset() -> None:
    summer = datetime(2025, 10, 25, 23, 0, tzinfo=LOCAL)
    assert summer.replace(day=26, hour=8).isoformat() == "2025-10-26T08:00:00+01:00"
    assert summer.tzname() == "CEST"


def test_now_is_now() -> None:
    assert abs(local_now().timestamp() - time.time()) < 60
