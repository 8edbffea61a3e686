"""When a crash is answered with a restart, and when it has become a loop: one rule under every supervisor."""

from collections import deque
from dataclasses import dataclass, field

CRASHES = 5
"""So many crashes within WINDOW_SECONDS are a loop: the unit is given up and shows as failed."""
WINDOW_SECONDS = 600
"""Long, because a big model may take a minute to load and crash only then."""
DELAY_MILLISECONDS = 250
"""Pause before the first restart: an accident costs its clients hardly more than the engine's own start.
Supervisors that can do so wait longer with each further crash. A loop that ended within seconds because its
supervisor cannot is tried again by the watcher, later and later."""

LOG_BYTES = 10 * 1024 * 1024
"""A log file is rotated at this size, where there is no journal."""
LOG_KEEP = 3
"""Rotated log files kept beside the current one."""


@dataclass(slots=True)
class CrashHistory:
    """Crash times of one unit; times are seconds of any one clock that only runs forward."""

    times: deque[float] = field(default_factory=deque)

    def crashed(self, now: float) -> int:
        """Record a crash; the number of crashes within the window, this one included."""
        self.times.append(now)
        while self.times[0] <= now - WINDOW_SECONDS:
            self.times.popleft()
        return len(self.times)

    def forgive(self) -> None:
        """Someone started the unit on purpose: count from zero."""
        self.times.clear()
