"""Hooks: what they are given, and what a bad one cannot do."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.events import EventType
from reconciler.host.hook_process import run_hook
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.spec.model import Hook
from reconciler.watch.hooks import HookRunner
from tests.support.waiting import wait_until


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with State.open(tmp_path / "state.db", create=True) as state:
        yield Records(state)


def python(script: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script, *arguments)


def test_a_hook_gets_the_event_and_little_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: Records
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    out = tmp_path / "out"
    script = (
        "import json, os, sys; event = json.load(sys.stdin);"
        " text = json.dumps([event, dict(os.environ)]); open(sys.argv[1] + '.new', 'w').write(text);"
        " os.rename(sys.argv[1] + '.new', sys.argv[1])"
    )
    runner = HookRunner(records)
    records.write(EventType.RUNTIME_READY, "llama@a-max", "it answers", "c1")
    records.write(EventType.APPLY_ENDED, "apply", "done")
    runner.dispatch([Hook(on=("runtime_ready",), run=python(script, str(out)))])
    wait_until(out.exists)
    runner.close()
    event, environment = json.loads(out.read_text())
    assert event["type"] == "runtime_ready"
    assert event["resource"] == "llama@a-max"
    assert event["revision"] == "c1"
    assert environment["MODELCTL_EVENT"] == "runtime_ready"
    assert "HF_TOKEN" not in environment


def test_a_hook_that_hangs_is_killed_with_its_children() -> None:
    begin = time.monotonic()
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    assert run_hook(python(script), "", 0.5, {}) == "did not end within 0.5 s and was killed"
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("/nonexistent/program",), "cannot be run: No such file or directory"),
        (python("import sys; sys.exit('bad news')"), "ended with exit status 1: bad news"),
        (python("pass"), None),
    ],
)
def test_how_a_hook_ended_is_said(argv: tuple[str, ...], problem: str | None) -> None:
    assert run_hook(argv, "x" * 1_000_000, 20, {}) == problem


def test_a_failed_hook_is_an_event_and_events_of_hooks_run_no_hook(records: Records) -> None:
    runner = HookRunner(records)
    records.write(EventType.BLOCKED, "watch", "why")
    hooks = [Hook(on=("blocked",), run=python("raise SystemExit(3)"))]
    runner.dispatch(hooks)
    wait_until(lambda: any(event.type is EventType.HOOK_FAILED for event in records.events()))
    runner.dispatch(hooks)
    runner.close()
    assert [event.type for event in records.events()] == [EventType.BLOCKED, EventType.HOOK_FAILED]


def test_a_slow_hook_never_holds_up_whoever_dispatches(records: Records) -> None:
    runner = HookRunner(records)
    hooks = [Hook(on=("blocked",), run=("sleep", "60"), timeout=3)]
    begin = time.monotonic()
    for number in range(300):
        records.write(EventType.BLOCKED, "watch", str(number))
    runner.dispatch(hooks)
    assert time.monotonic() - begin < 5
    assert any("dropped" in event.message for event in records.events())
    runner.close(0.1)


def test_the_spec_takes_known_events_only() -> None:
    with pytest.raises(ValueError, match="hook_failed"):
        Hook.model_validate({"on": ["hook_failed"], "run": ["true"]})
    known = {kind.value for kind in EventType} - {"hook_failed"}
    assert set(Hook(on=tuple(known), run=("true",)).on) == known


def test_however_much_a_hook_complains_the_end_of_it_is_kept_and_little_disk_is_used(
    tmp_path: Path,
) -> None:
    seen = tmp_path / "seen"
    script = (
        "import os, sys\n"
        "most = 0\n"
        "for _ in range(300):\n"
        "    os.write(2, b'x' * 100_000)\n"
        "    __import__('time').sleep(0.002)\n"
        "    most = max(most, os.fstat(2).st_size)\n"
        "os.write(2, b'\\nthe last word\\n')\n"
        "open(sys.argv[1], 'w').write(str(most))\n"
        "sys.exit(3)\n"
    )
    problem = run_hook(python(script, str(seen)), "", 60, {})
    assert problem is not None
    assert problem.startswith("ended with exit status 3: ")
    assert problem.endswith("the last word")
    assert len(problem) < 500
    assert int(seen.read_text()) < 20_000_000
