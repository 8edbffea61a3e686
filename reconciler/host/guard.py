"""Enforces what a supervisor leaves open: memory limits, log rotation, crash loops.

Our supervisord runs the memory check inside itself (`supervisors/supervisord_plugin.py`). Where a supervisor
can do no such thing, `python -m reconciler.host.guard FILE` runs as one more of its programs; see `main`.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.sizes import format_bytes

MEMORY_VARIABLE = "MODELCTL_MEMORY_LIMIT"


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
