"""A server killed by SIGKILL: the time until it is ready again, beside what its engine needs by itself.

    python benchmarks/recovery.py [--kills 5] [--engine PATH] [SUPERVISOR …]

Each kill is a first crash, and in turn with it the same command is started by hand. No watcher runs: what is
measured is the supervisor's own doing. launchd is left out where this is not a Mac.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from reconciler.core.endpoint import TcpEndpoint
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitState
from reconciler.host.health import Health, look
from reconciler.host.supervisors.base import Supervisor
from reconciler.host.supervisors.choose import open_supervisor
from tests.support.staging import staged
from tests.support.systemd import private_manager

GOAL = 1.0
UNIT = UnitName("llama@a-cpu_only")
SUPERVISORS = ("supervisord", "systemd-user", "pm2")
_PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Served:
    """One ready runtime under a supervisor, and its command as the supervisor runs it."""

    supervisor: Supervisor
    port: int
    argv: list[str]
    environment: dict[str, str]
    folder: str

    @property
    def ready(self) -> bool:
        return look(TcpEndpoint("127.0.0.1", self.port), timeout=0.5) is Health.READY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("supervisors", nargs="*", default=SUPERVISORS)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--engine", default="embedded", help="a llama-server instead of the embedded engine")
    options = parser.parse_args()
    print(f"\nSIGKILL of a server → ready again (median of {options.kills}, engine: {options.engine})")
    print(f"  {'':14} {'ready again':>12} {'engine alone':>13} {'over it':>9}")
    for name in options.supervisors:
        try:
            with served(name, options.engine) as one:
                print_row(name, *measure(one, options.kills))
        except pytest.skip.Exception as reason:
            print(f"  {name:14} not here: {reason}")


@contextmanager
def served(supervisor: str, engine: str) -> Iterator[Served]:
    """A workspace with one model, applied; gone at the end."""
    with ExitStack() as opened:
        manager = opened.enter_context(private_manager()) if supervisor == "systemd-user" else None
        workspace = opened.enter_context(staged(supervisor, manager)).workspace
        workspace.engine = engine
        model = workspace.add("a")
        opened.enter_context(patch.dict(os.environ, workspace.environment))
        workspace.up()
        adapter = open_supervisor(SupervisorKind(supervisor), state_directory=workspace.store / "state")
        process = psutil.Process(pid_of(adapter))
        yield Served(adapter, model.port, process.cmdline(), process.environ(), process.cwd())


def measure(one: Served, kills: int) -> tuple[list[float], list[float]]:
    """Seconds from SIGKILL to ready, and from exec to ready, by turns."""
    back: list[float] = []
    alone: list[float] = []
    for _ in range(kills):
        # Started on purpose, its earlier crashes are forgiven.
        one.supervisor.restart([UNIT])
        wait(lambda: one.ready, "the engine")
        back.append(killed(one))
        one.supervisor.stop([UNIT])
        wait(lambda: not one.ready, "its end")
        alone.append(by_hand(one))
    return back, alone


def killed(one: Served) -> float:
    process = psutil.Process(pid_of(one.supervisor))
    begin = time.perf_counter()
    os.kill(process.pid, signal.SIGKILL)
    process.wait(_PATIENCE_SECONDS)
    wait(lambda: one.ready, "the return")
    seconds = time.perf_counter() - begin
    status = one.supervisor.observe([UNIT])[UNIT]
    assert status.state is UnitState.RUNNING, status
    assert status.restarts == 1, status
    return seconds


def by_hand(one: Served) -> float:
    begin = time.perf_counter()
    process = subprocess.Popen(
        one.argv, env=one.environment, cwd=one.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait(lambda: one.ready, "the engine")
        return time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait()


def pid_of(supervisor: Supervisor) -> int:
    pid = supervisor.observe([UNIT])[UNIT].pid
    assert pid is not None
    return pid


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {_PATIENCE_SECONDS} s"
        time.sleep(_LOOK_SECONDS)


def print_row(name: str, back: list[float], alone: list[float]) -> None:
    again, own = statistics.median(back), statistics.median(alone)
    over = again - own
    mark = "✓" if over <= GOAL else "✗"
    print(f"  {name:14} {again:10.2f} s {own:11.2f} s {over:7.2f} s  goal {GOAL:g} s {mark}")


if __name__ == "__main__":
    main()
