import logging

import pytest

from reconciler.gateway.problems import Problems, _OneLine


def test_a_problem_is_said_once_in_a_while_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    problems = Problems(clock=lambda: now[0])
    for _ in range(5):
        problems.say("a", "a is away")
    problems.say("b", "b is away")
    now[0] += 11
    problems.say("a", "a is away")
    problems.say("b", "b is away")
    assert caplog.messages == [
        "a is away",
        "b is away",
        "a is away (and 4 times before)",
        "b is away",
    ]


def test_what_was_said_fills_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    problems = Problems()
    for number in range(5000):
        problems.say(number, "away")
    assert len(problems._said) <= 1000
    assert len(caplog.messages) == 5000


def test_a_record_is_one_line_whatever_it_holds() -> None:
    error = ValueError("two\nlines")
    record = logging.LogRecord("x", logging.ERROR, "", 1, "it\nfailed", None, (ValueError, error, None))
    line = _OneLine().format(record)
    assert "\n" not in line
    assert line.endswith("it failed: ValueError('two\\nlines')")
