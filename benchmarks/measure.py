"""Runs commands and prints medians. What all benchmarks share."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RUNS = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """One run of a command: wall seconds, and the peak resident memory in MiB of it and its children."""

    seconds: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Row:
    """A measured command and the seconds that it may take."""

    name: str
    times: Sequence[Timing]
    limit: float | None


def command_times(
    argv: Sequence[str], environment: Mapping[str, str], *, runs: int = RUNS, timeout: float = 120
) -> list[Timing]:
    """Time a command that must succeed, `runs` times after one that is not counted."""
    for _ in range(1 if runs > 1 else 0):
        _once(argv, environment, timeout)
    return [_once(argv, environment, timeout) for _ in range(runs)]


def _once(argv: Sequence[str], environment: Mapping[str, str], timeout: float) -> Timing:
    begin = time.perf_counter()
    process = subprocess.Popen(
        argv, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{argv} ended with {process.returncode}:\n{output}"
    assert seconds < timeout, f"{argv} took {seconds:.0f} s"
    return Timing(seconds, _mib(usage))


def _mib(usage: resource.struct_rusage) -> float:
    """ru_maxrss is in KiB on Linux and in bytes on macOS."""
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return usage.ru_maxrss * unit / 1024**2


def print_table(title: str, rows: Sequence[Row], *, memory_limit_mib: float | None = None) -> None:
    """Medians beside the goals."""
    print(f"\n{title} (median of {RUNS})")
    for row in rows:
        seconds = statistics.median(timing.seconds for timing in row.times)
        memory = max(timing.memory_mib for timing in row.times)
        verdict = (
            "" if row.limit is None else f"  goal {row.limit:g} s {'✓' if seconds <= row.limit else '✗'}"
        )
        if memory_limit_mib is not None:
            verdict += f"  {memory:.0f} MiB {'✓' if memory <= memory_limit_mib else '✗'}"
        print(f"  {row.name:<40} {seconds:7.3f} s{verdict}")
