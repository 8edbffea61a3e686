"""The guard's duties, each on real processes and files."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.core.restarts import CRASHES, LOG_BYTES, LOG_KEEP
from reconciler.core.types import UnitName
from reconciler.core.units import UnitState, UnitStatus
from reconciler.host.guard import (
    CrashLoops,
    OverLimit,
    Pid,
    Sibling,
    Siblings,
    memory_limit,
    resident_bytes,
    rotate,
)
from tests.support.waiting import wait_until

MIB = 1024 * 1024
A = UnitName("llama@a-max")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of a test, ended with it."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def _python(code: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **environment}, stdout=subprocess.PIPE
    )


def _ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


def test_a_process_below_its_limit_is_left_alone(started: list[subprocess.Popen[bytes]]) -> None:
    started.append(_python("print(1, flush=True); import time; time.sleep(99)"))
    _ready(started[0])
    assert 0 < resident_bytes(started[0].pid) < 100 * MIB
    assert OverLimit().check(started[0].pid, 1000 * MIB, 30) is None
    assert started[0].poll() is None


def test_a_process_above_its_limit_is_asked_to_end_and_then_killed(
    started: list[subprocess.Popen[bytes]],
) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
    started.append(_python(deaf))
    _ready(started[0])
    over_limit = OverLimit()
    said = over_limit.check(started[0].pid, MIB, stop_timeout=0)
    assert said is not None
    assert said.endswith("limit 1 MiB: terminated")
    assert started[0].poll() is None
    said = over_limit.check(started[0].pid, MIB, stop_timeout=0)
    assert said is not None
    assert said.endswith("killed")
    assert started[0].wait(timeout=10) == -9


def test_a_process_that_is_gone_is_no_matter() -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert resident_bytes(gone.pid) == 0
    assert OverLimit().check(gone.pid, 1, 0) is None


@pytest.mark.parametrize(("text", "limit"), [("1024", 1024), ("", None), ("x", None), ("-1", None)])
def test_the_limit_is_read_from_the_environment(text: str, limit: int | None) -> None:
    assert memory_limit({"MODELCTL_MEMORY_LIMIT": text}) == limit
    assert memory_limit(None) is None


def test_siblings_are_the_units_among_the_children(started: list[subprocess.Popen[bytes]]) -> None:
    code = "print(1, flush=True); import time; time.sleep(99)"
    started.append(_python(code, MODELCTL_UNIT=A, MODELCTL_MEMORY_LIMIT="5", MODELCTL_LOG="/x.log"))
    started.append(_python(code))
    for process in started:
        _ready(process)
    siblings = Siblings(os.getpid())
    assert siblings.look() == [Sibling(A, Pid(started[0].pid), 5, Path("/x.log"))]
    started[0].kill()
    started[0].wait()
    assert siblings.look() == []


def test_a_log_is_rotated_at_its_size_and_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert not rotate(path)
    with path.open("ab", buffering=0) as writer:
        for round_number in range(LOG_KEEP + 2):
            writer.write(b"%d" % round_number)
            assert not rotate(path)
            writer.write(b"x" * LOG_BYTES)
            assert rotate(path)
            assert path.stat().st_size == 0
        writer.write(b"end")
    assert path.read_bytes() == b"end"
    kept = sorted(file.name for file in tmp_path.iterdir())
    assert kept == ["a.log", *(f"a.log.{number}" for number in range(1, LOG_KEEP + 1))]
    assert (tmp_path / "a.log.1").read_bytes()[:1] == b"%d" % (LOG_KEEP + 1)


@dataclass
class Restarting:
    """A supervisor that restarts for ever; the test says how often it did."""

    restarts: int = 0
    state: UnitState = UnitState.RESTARTING
    asked: int = 0
    given_up: list[UnitName] = field(default_factory=list)

    def installed(self) -> tuple[UnitName, ...]:
        return (A,)

    def observe(self, names: Sequence[UnitName]) -> dict[UnitName, UnitStatus]:
        self.asked += 1
        return {name: UnitStatus(name, self.state, restarts=self.restarts) for name in names}

    def give_up(self, name: UnitName) -> None:
        self.given_up.append(name)
        self.state = UnitState.FAILED


def test_a_unit_that_restarts_too_often_is_given_up_once() -> None:
    supervisor = Restarting(restarts=40)
    loops = CrashLoops(supervisor)  # type: ignore[arg-type]
    assert loops.look([]) == []
    supervisor.restarts += CRASHES - 1
    assert loops.look([]) == []
    supervisor.restarts += 1
    assert loops.look([]) == [A]
    assert loops.look([]) == []
    assert supervisor.given_up == [A]


def test_a_start_on_purpose_counts_from_zero() -> None:
    supervisor = Restarting(restarts=40)
    loops = CrashLoops(supervisor)  # type: ignore[arg-type]
    loops.look([])
    supervisor.restarts += CRASHES - 1
    loops.look([])
    supervisor.restarts = 0  # a fresh start resets the supervisor's own count
    loops.look([])
    supervisor.restarts = 1
    assert loops.look([]) == []


def test_a_supervisor_whose_units_all_run_is_not_asked() -> None:
    supervisor = Restarting(state=UnitState.RUNNING)
    loops = CrashLoops(supervisor)  # type: ignore[arg-type]
    running = [Sibling(A, Pid(7), None, None)]
    for _ in range(5):
        loops.look(running)
    assert supervisor.asked == 1
    loops.look([Sibling(A, Pid(8), None, None)])
    assert supervisor.asked == 2


def test_a_stopped_unit_is_asked_for_once() -> None:
    supervisor = Restarting(state=UnitState.STOPPED)
    loops = CrashLoops(supervisor)  # type: ignore[arg-type]
    for _ in range(5):
        loops.look([])
    assert supervisor.asked == 1


def test_the_guard_watches_its_siblings_and_ends_with_its_supervisor(tmp_path: Path) -> None:
    """The supervisor is a shell that lives until its input closes."""
    duties = tmp_path / "guard.json"
    duties.write_text('{"kind": "supervisord", "memory": true, "logs": true, "crashes": false}')
    guard = (
        f"{sys.executable} -m reconciler.host.guard {duties} 2> {tmp_path}/log & echo $! > {tmp_path}/guard"
    )
    unit = f"MODELCTL_UNIT={A} MODELCTL_MEMORY_LIMIT=1 sleep 1000 & echo $! > {tmp_path}/unit"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{guard}; {unit}; cat"], stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert shell.stdin is not None
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and f"{A}: " in log.read_text(), what="the guard's words")
    wait_until(lambda: not _is_alive(int((tmp_path / "unit").read_text())), what="the end of the unit")
    shell.stdin.close()
    shell.wait(timeout=10)
    wait_until(lambda: not _is_alive(int((tmp_path / "guard").read_text())), what="the end of the guard")


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
