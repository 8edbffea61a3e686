"""What every supervisor can do for us; tests/host/supervisors holds each adapter to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitStatus


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a supervisor cannot be used on this machine, and the command that mends it."""

    what: str
    hint: str


class Supervisor(Protocol):
    """Owns the running processes. Calls take many units at once; each is one call to the outside.

    Unit files are written and removed by the caller, atomically, at `unit_path`; the adapter tells the
    supervisor about them in `reload`. Failures raise `SupervisorError` with the supervisor's own words.
    """

    kind: SupervisorKind
    journal: bool
    """Whether it keeps logs by itself; where it does not, units log to a file that is rotated."""

    def problem(self) -> Problem | None:
        """None when it can be used here."""

    def is_running(self) -> bool:
        """Whether the supervisor itself is up. Observing one that is not gives every unit as absent.

        SupervisorError where that cannot be told, because it is there and does not answer.
        """

    def ensure_running(self) -> None:
        """Start the supervisor (and our guard beside it) where that is ours to do; no-op where it runs."""

    def unit_path(self, name: UnitName) -> Path:
        """Where this unit's file belongs."""

    def installed(self) -> tuple[UnitName, ...]:
        """Names of `llama@…` unit files in the unit folder, ours or not."""

    def reload(self, changed: Sequence[UnitName], removed: Sequence[UnitName]) -> None:
        """Make the supervisor read changed unit files and forget removed ones; enables for the next boot.

        Units whose files did not change are not touched. Removed units must be stopped before.
        """

    def start(self, names: Sequence[UnitName]) -> None:
        """Start, without waiting for readiness. Starting a running unit is a no-op."""

    def stop(self, names: Sequence[UnitName]) -> None:
        """Stop and wait until the processes are gone. Stopping a stopped or absent unit is a no-op."""

    def restart(self, names: Sequence[UnitName]) -> None:
        """Stop and start with the unit file as last reloaded, without waiting for readiness."""

    def observe(self, names: Sequence[UnitName]) -> dict[UnitName, UnitStatus]:
        """One status per asked name, in one call to the outside; unknown units are `absent`."""

    def log(self, name: UnitName, *, lines: int, follow: bool) -> Iterator[str]:
        """The last `lines` log lines without line ends, then, when following, each new one as it comes."""


class CrashLoopSupervisor(Supervisor, Protocol):
    """One that restarts for ever by itself; the guard counts for it and makes it give up."""

    def give_up(self, name: UnitName) -> None:
        """Stop the unit so that it shows as failed until someone starts it on purpose."""
