"""What goes wrong, on stderr: one line each, and no flood when every request fails alike."""

import logging
import sys
import time
from collections.abc import Callable, Hashable

from aiohttp.http import HttpProcessingError

_QUIET_SECONDS = 10.0
_REMEMBERED = 1_000
_LOG = logging.getLogger(__name__)


class Problems:
    """Says each problem once in ten seconds, and how often it came meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def say(self, key: Hashable, line: str) -> None:
        """Log `line` unless one with the same `key` was logged just now."""
        now = self._clock()
        if now - self._said.get(key, -_QUIET_SECONDS) < _QUIET_SECONDS:
            self._unsaid[key] = self._unsaid.get(key, 0) + 1
            return
        if len(self._said) >= _REMEMBERED:
            self._said.clear()
            self._unsaid.clear()
        self._said[key] = now
        again = self._unsaid.pop(key, 0)
        _LOG.warning("%s%s", line, f" (and {again} times before)" if again else "")


class _OneLine(logging.Formatter):
    """A record and its exception in one line; a stack helps no reader of a unit's log."""

    def format(self, record: logging.LogRecord) -> str:
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            line = f"{line}: {record.exc_info[1]!r}"
        return f"{self.formatTime(record)} " + " ".join(line.split())


def _is_ours(record: logging.LogRecord) -> bool:
    """A client that speaks no HTTP is told so, and is no problem of this machine."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def log_to_stderr() -> None:
    """What this process logs, aiohttp's and asyncio's own complaints as well."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    handler.addFilter(_is_ours)
    logging.basicConfig(handlers=(handler,), level=logging.WARNING)
