"""Whether an apply is still wanted, asked while it is under way."""

from collections.abc import Callable

import pytest

from reconciler.core.errors import ModelctlError
from reconciler.watch import passes
from reconciler.watch.passes import Interest


def asked(monkeypatch: pytest.MonkeyPatch, still_wanted: Callable[[], bool]) -> bool:
    """Whether it is given up after one question."""
    monkeypatch.setattr(passes, "_ASKED_SECONDS", 0.0)
    interest = Interest(still_wanted)
    interest.waiting()
    return interest.unwanted.is_set()


def test_what_is_not_wanted_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, lambda: False)
    assert not asked(monkeypatch, lambda: True)


def test_where_nobody_can_tell_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise ModelctlError("the repository cannot be read")

    assert not asked(monkeypatch, broken)
