"""What the watcher says of itself in the state database, for `status` and whoever else asks."""

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.conditions import STALLED, Condition
from reconciler.host.processes import birth
from reconciler.host.records import Records
from reconciler.reconcile.conditions import WATCHER
from reconciler.watch.decide import Blocked


@dataclass(frozen=True, slots=True)
class Following:
    """`revision` is the commit that the machine is held to, which may be older than what is checked out."""

    folder: str
    follow: str
    prune: bool
    revision: str | None
    dirty: bool
    """The work tree has edits that are not followed."""
    blocked: Blocked | None


class WatcherRecord:
    """Writes only what is new."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._written: tuple[Following, tuple[Condition, ...]] | None = None
        self._blocked_since = 0.0
        self._began = time.time()

    def write(self, following: Following, conditions: tuple[Condition, ...] = ()) -> None:
        if self._written == (following, conditions):
            return
        if self._written is None or self._written[0].blocked != following.blocked:
            self._blocked_since = time.time()
        self._written = (following, conditions)
        self._records.put_note(WATCHER, {**self._document(following, conditions)})

    def erase(self) -> None:
        self._records.put_note(WATCHER, {})

    def _document(self, following: Following, conditions: tuple[Condition, ...]) -> dict[str, Any]:
        found = list(conditions)
        if following.blocked is not None:
            found.append(
                Condition(
                    "watch",
                    STALLED,
                    following.blocked.reason,
                    following.blocked.message,
                    following.revision,
                    self._blocked_since,
                )
            )
        return {
            "pid": os.getpid(),
            "birth": birth(os.getpid()),
            "since": self._began,
            **{name: value for name, value in asdict(following).items() if name != "blocked"},
            "conditions": [condition.document() for condition in found],
        }
