"""Whether units that are being waited for still try; one question to the supervisor serves all who wait."""

import threading
import time
from collections.abc import Sequence

from reconciler.core.types import UnitName
from reconciler.core.units import UnitState
from reconciler.host.supervisors.base import Supervisor

_FRESH_SECONDS = 0.5
_CRASHES_THAT_SETTLE_IT = 2
"""One crash may be an accident of the moment, a second says that it will not come up."""
_TRYING = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)


class Pulse:
    """Safe to ask from many threads; restarts are counted from when it was made."""

    def __init__(self, supervisor: Supervisor, names: Sequence[UnitName]) -> None:
        self._supervisor = supervisor
        self._names = names
        self._lock = threading.Lock()
        self._seen = supervisor.observe(names)
        self._seen_at = time.monotonic()
        self._before = {name: status.restarts for name, status in self._seen.items()}

    def beats(self, name: UnitName) -> bool:
        """False once the unit failed, was stopped, or has crashed twice while it was being waited for."""
        with self._lock:
            if time.monotonic() - self._seen_at > _FRESH_SECONDS:
                self._seen = self._supervisor.observe(self._names)
                self._seen_at = time.monotonic()
            status = self._seen[name]
        return status.state in _TRYING and status.restarts - self._before[name] < _CRASHES_THAT_SETTLE_IT
