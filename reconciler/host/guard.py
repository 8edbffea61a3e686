"""Enforces what a supervisor leaves open: memory limits, log rotation, crash loops.

`python -m reconciler.host.guard FILE` runs as one more program of the supervisor, so that its siblings are
the units: those children of its own parent that carry MODELCTL_UNIT in their environment. FILE says which
duties there are (`supervisors.guarding`). Our supervisord does the same inside itself
(`supervisors.supervisord_plugin`).
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NewType

from reconciler.core.errors import ModelctlError
from reconciler.core.restarts import CRASHES, LOG_BYTES, LOG_KEEP, CrashHistory
from reconciler.core.sizes import format_bytes
from reconciler.core.types import UnitName
from reconciler.core.units import UnitState
from reconciler.host.supervisors.guarding import read_duties

if TYPE_CHECKING:
    from reconciler.host.supervisors.base import CrashLoopSupervisor

UNIT_VARIABLE = "MODELCTL_UNIT"
MEMORY_VARIABLE = "MODELCTL_MEMORY_LIMIT"
LOG_VARIABLE = "MODELCTL_LOG"

_LOOK_SECONDS = 2.0
_ASK_SECONDS = 30.0
_SETTLED_SECONDS = 10.0
_STOP_SECONDS = 30.0
"""How long a process over its limit has to end by itself."""

Pid = NewType("Pid", int)


def memory_limit(environment: Mapping[str, str] | None) -> int | None:
    """The limit in bytes that a unit carries in its environment."""
    text = (environment or {}).get(MEMORY_VARIABLE, "")
    return int(text) if text.isdecimal() else None


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    import psutil  # noqa: PLC0415 - supervisord loads this module before it needs it

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


@dataclass(slots=True)
class OverLimit:
    """Asks processes above their limit to end, and kills those that do not within their stop timeout.

    The supervisor starts them again.
    """

    asked: dict[int, float] = field(default_factory=dict)

    def check(self, pid: int, limit: int, stop_timeout: float) -> str | None:
        """Look at one process; the words to log when something was done."""
        resident = resident_bytes(pid)
        if resident <= limit:
            self.asked.pop(pid, None)
            return None
        now = time.monotonic()
        late = pid in self.asked and now - self.asked[pid] > stop_timeout
        self.asked.setdefault(pid, now)
        try:
            os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        except ProcessLookupError:
            self.asked.pop(pid, None)
            return None
        done = "killed" if late else "terminated"
        return f"{format_bytes(resident)} resident, limit {format_bytes(limit)}: {done}"


def rotate(path: Path) -> bool:
    """Copy a log that has reached its size aside and cut it short; True when that was done.

    The writer keeps its descriptor (it appends, so it goes on at the new end); what it writes between copy
    and cut is lost.
    """
    try:
        if path.stat().st_size < LOG_BYTES:
            return False
    except FileNotFoundError:
        return False
    for number in range(LOG_KEEP - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


@dataclass(frozen=True, slots=True)
class Sibling:
    """One of our units, as it runs."""

    name: UnitName
    pid: Pid
    limit: int | None
    log: Path | None


@dataclass(slots=True)
class Siblings:
    """Our units' processes among the children of one parent. Each process' environment is read once."""

    parent: int
    known: dict[tuple[int, float], Sibling | None] = field(default_factory=dict)

    def look(self) -> list[Sibling]:
        """Those that are alive now. Raises ProcessLookupError when the parent is gone."""
        import psutil  # noqa: PLC0415

        try:
            children = psutil.Process(self.parent).children()
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(self.parent) from error
        before, self.known = self.known, {}
        for child in children:
            try:
                key = (child.pid, child.create_time())
                sibling = before[key] if key in before else _sibling(child.pid, child.environ())
            except psutil.AccessDenied:
                sibling = None
            except psutil.NoSuchProcess:
                continue
            # A child that has only just been forked still shows its parent's environment.
            if sibling is not None or time.time() - key[1] > _SETTLED_SECONDS:
                self.known[key] = sibling
        return [sibling for sibling in self.known.values() if sibling is not None]


def _sibling(pid: int, environment: Mapping[str, str]) -> Sibling | None:
    name = environment.get(UNIT_VARIABLE)
    if name is None:
        return None
    log = environment.get(LOG_VARIABLE)
    return Sibling(UnitName(name), Pid(pid), memory_limit(environment), Path(log) if log else None)


@dataclass(slots=True)
class CrashLoops:
    """Counts restarts by the supervisor's own count, and makes it give up on a loop.

    The supervisor is asked after processes have changed and while a unit waits for its restart, else twice a
    minute while some unit has no process: an answer may cost the start of an interpreter.
    """

    supervisor: "CrashLoopSupervisor"
    running: dict[UnitName, Pid] = field(default_factory=dict)
    restarts: dict[UnitName, int] = field(default_factory=dict)
    crashes: dict[UnitName, CrashHistory] = field(default_factory=dict)
    settled: frozenset[UnitName] = frozenset()
    """Units that were seen stopped, failed or absent: they need no process."""
    asked_at: float = 0.0

    def look(self, siblings: list[Sibling]) -> list[UnitName]:
        """Units that were given up now."""
        names = self.supervisor.installed()
        running = {sibling.name: sibling.pid for sibling in siblings}
        missing = set(names) - running.keys()
        overdue = missing and time.monotonic() - self.asked_at > _ASK_SECONDS
        if running == self.running and missing <= self.settled and not overdue:
            return []
        self.running = running
        self.asked_at = time.monotonic()
        given_up: list[UnitName] = []
        statuses = self.supervisor.observe(names)
        for name, status in statuses.items():
            if self._is_loop(name, status.restarts) and status.state is not UnitState.FAILED:
                self.supervisor.give_up(name)
                given_up.append(name)
        quiet = {UnitState.STOPPED, UnitState.FAILED, UnitState.ABSENT}
        self.settled = frozenset(
            {name for name, status in statuses.items() if status.state in quiet} | set(given_up)
        )
        return given_up

    def _is_loop(self, name: UnitName, restarts: int) -> bool:
        history = self.crashes.setdefault(name, CrashHistory())
        before = self.restarts.get(name, restarts)
        self.restarts[name] = restarts
        if restarts < before:
            history.forgive()
        crashes = 0
        for _ in range(before, restarts):
            crashes = history.crashed(time.monotonic())
        return crashes >= CRASHES


def main(duties_file: Path) -> None:
    """Look every two seconds until the supervisor is gone. Words go to standard error, the guard's log."""
    from reconciler.host.supervisors.choose import open_crash_loop_supervisor  # noqa: PLC0415

    parent = os.getppid()
    siblings = Siblings(parent)
    over_limit = OverLimit()
    loops: CrashLoops | None = None
    while os.getppid() == parent:
        duties = read_duties(duties_file)
        found = siblings.look()
        for sibling in found:
            if duties.memory and sibling.limit is not None:
                _say(sibling.name, over_limit.check(sibling.pid, sibling.limit, _STOP_SECONDS))
            if duties.logs and sibling.log is not None and rotate(sibling.log):
                _say(sibling.name, "log rotated")
        if duties.crashes:
            loops = loops or CrashLoops(open_crash_loop_supervisor(duties.kind, duties_file.parent))
            try:
                for name in loops.look(found):
                    _say(name, "a crash loop: given up")
            except ModelctlError as error:
                _say(UnitName("guard"), error.what)
        time.sleep(_LOOK_SECONDS)


def _say(name: UnitName, what: str | None) -> None:
    if what is not None:
        sys.stderr.write(f"{name}: {what}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
