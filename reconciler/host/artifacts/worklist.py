"""Which parts of a file are still to be fetched, shared by the connections that fetch them."""

import threading
from collections import deque
from collections.abc import Iterable

from reconciler.host.artifacts.ranges import Ranges, Span


class Worklist:
    """Thread-safe. Parts are handed out in order, so that hashing can follow closely."""

    def __init__(self, size: int, written: Iterable[Span], longest: int) -> None:
        self.size = size
        self._written = Ranges(written)
        self._parts = deque(self._written.gaps(size, longest))
        self._lock = threading.Lock()
        self._workers = 0
        self.arrived = threading.Event()
        """Set when every byte is written."""
        self._check_arrived()

    def take(self) -> Span | None:
        """The next part, in order; None where there is none at the moment."""
        with self._lock:
            return self._parts.popleft() if self._parts else None

    def put_back(self, part: Span) -> None:
        with self._lock:
            self._parts.appendleft(part)

    def join(self) -> None:
        """One more connection works on it."""
        with self._lock:
            self._workers += 1

    def leave(self) -> bool:
        """A connection gives up; False when it was the last."""
        with self._lock:
            self._workers -= 1
            return self._workers > 0

    def wrote(self, start: int, end: int) -> None:
        with self._lock:
            self._written.add(start, end)
        self._check_arrived()

    def written(self) -> Ranges:
        """A copy of what is written by now."""
        with self._lock:
            return Ranges(self._written.spans)

    @property
    def prefix(self) -> int:
        """Bytes that are written without a gap from the begin."""
        with self._lock:
            return self._written.prefix

    @property
    def total(self) -> int:
        with self._lock:
            return self._written.total

    def __len__(self) -> int:
        """How many parts wait."""
        return len(self._parts)

    def _check_arrived(self) -> None:
        if self._written.prefix == self.size:
            self.arrived.set()
