"""The watcher: from `git commit` to the first operation, and what idling costs.

    python benchmarks/watch.py [--models 100] [--commits 15] [--idle 40]

Everything runs below a temporary folder, on the embedded supervisord and engine, and is gone at the end.
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from reconciler.demo.workspace import free_ports
from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from tests.support.workspace import MODELCTL, Workspace

COMMIT_GOAL = 0.150
CPU_GOAL = 0.005
MEMORY_GOAL = 60


@contextmanager
def workspace(models: int) -> Iterator[Workspace]:
    """A workspace whose models are all served by one watcher."""
    with tempfile.TemporaryDirectory(prefix="mctl-", ignore_cleanup_errors=True) as folder:
        made = Workspace(Path(folder))
        try:
            for number, port in enumerate(free_ports(models)):
                made.add(f"m{number:03}", "I am here.", port=port)
            made.write()
            yield made
        finally:
            SupervisordSupervisor(made.store / "state" / "supervisord").shut_down()


@contextmanager
def watcher(made: Workspace) -> Iterator[psutil.Process]:
    with (made.root / "watch.log").open("w") as log:
        process = subprocess.Popen(
            (*MODELCTL, "watch"), cwd=made.root, env=made.env(), stdout=log, stderr=log
        )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def rows(made: Workspace, query: str, *values: object) -> list[tuple[object, ...]]:
    """Straight from the database: asking through the command would cost what is measured."""
    path = made.store / "state" / "modelctl.db"
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.02)


def applied(made: Workspace) -> int:
    return len(rows(made, "SELECT number FROM event WHERE type = 'apply_ended'"))


def commit_to_operation(made: Workspace, commits: int) -> list[float]:
    """Seconds from the end of `git commit` to the first operation's entry in the journal."""
    found = []
    for number in range(commits):
        before = applied(made)
        old, new = (512, 1024) if number % 2 == 0 else (1024, 512)
        made.edit("m000", f"context_tokens: {old}", f"context_tokens: {new}")
        begin = time.time()
        wait(lambda before=before: applied(made) > before, 60, "the apply")
        [(first,)] = rows(
            made, "SELECT MIN(started_at) FROM journal WHERE apply = (SELECT MAX(apply) FROM journal)"
        )
        found.append(float(str(first)) - begin)
        time.sleep(1.2)
    return found


def seconds_of_cpu(process: psutil.Process) -> float:
    """Of the process and of the programs that it ran and waited for."""
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def idle(process: psutil.Process, seconds: float) -> tuple[float, float]:
    """Share of one core, and resident megabytes."""
    before, begin = seconds_of_cpu(process), time.monotonic()
    time.sleep(seconds)
    share = (seconds_of_cpu(process) - before) / (time.monotonic() - begin)
    return share, process.memory_info().rss / 1e6


def line(name: str, value: str, goal: str, *, good: bool) -> None:
    print(f"  {name:<52} {value:>12}  goal {goal:<12} {'✓' if good else '✗'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100, help="served at once while idling is measured")
    parser.add_argument("--commits", type=int, default=15)
    parser.add_argument("--idle", type=float, default=40.0, help="seconds")
    options = parser.parse_args()
    print(f"\nwatcher, {os.cpu_count()} cores")
    with workspace(1) as made, watcher(made):
        wait(lambda: applied(made) == 1, 60, "the first apply")
        delays = commit_to_operation(made, options.commits)
        middle = statistics.median(delays)
        line(
            f"git commit → first operation (median of {options.commits})",
            f"{middle * 1000:.0f} ms",
            "150 ms",
            good=middle <= COMMIT_GOAL,
        )
    with workspace(options.models) as made, watcher(made) as process:
        wait(lambda: applied(made) == 1, 900, "the first apply")
        time.sleep(5)
        share, memory = idle(process, options.idle)
        line(
            f"idle with {options.models} models: one core, {options.idle:g} s",
            f"{share:.2%}",
            "0.5 %",
            good=share < CPU_GOAL,
        )
        line("resident", f"{memory:.0f} MB", f"{MEMORY_GOAL} MB", good=memory < MEMORY_GOAL)
        delays = commit_to_operation(made, 5)
        middle = statistics.median(delays)
        line(
            f"git commit → first operation, {options.models} models (5)",
            f"{middle * 1000:.0f} ms",
            "150 ms",
            good=middle <= COMMIT_GOAL,
        )


if __name__ == "__main__":
    main()
