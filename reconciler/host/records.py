"""Events, suspensions, attempts and notes in the state database."""

import json
import time
from collections.abc import Iterable
from typing import Any

from reconciler.core.attempts import Attempt
from reconciler.core.events import Event, EventType
from reconciler.core.suspension import Suspension
from reconciler.core.types import ModelId
from reconciler.host.state import State

_KEPT_EVENTS = 5_000
_TRIM_EVERY = 64
"""Old events go with every so many new ones: a delete per event would cost more than the event."""


class Records:
    """Typed rows of an open state database, which stays its opener's to close."""

    def __init__(self, state: State) -> None:
        self._state = state

    def write(self, kind: EventType, resource: str, message: str, revision: str | None = None) -> Event:
        """Record an event; the oldest go when there are too many."""
        now = time.time()
        [(number,)] = self._state.execute(
            "INSERT INTO event (at, type, resource, message, revision)"
            " VALUES (?, ?, ?, ?, ?) RETURNING number",
            (now, kind.value, resource, message, revision),
        )
        if number % _TRIM_EVERY == 0:
            self._state.execute("DELETE FROM event WHERE number <= ?", (number - _KEPT_EVENTS,))
        return Event(number, now, kind, resource, message, revision)

    def events(self, *, after: int = 0, last: int | None = None) -> list[Event]:
        """Events with a number above `after`, oldest first; only the newest `last` of them."""
        rows = self._state.execute(
            "SELECT number, at, type, resource, message, revision FROM event"
            " WHERE number > ? ORDER BY number DESC LIMIT ?",
            (after, -1 if last is None else last),
        )
        known = {kind.value for kind in EventType}
        return [
            Event(number, at, EventType(kind), resource, message, revision)
            for number, at, kind, resource, message, revision in reversed(rows)
            if kind in known
        ]

    def newest_event(self) -> int:
        """Number of the newest event; 0 when there is none."""
        [(number,)] = self._state.execute("SELECT COALESCE(MAX(number), 0) FROM event")
        return int(number)

    def suspend(self, suspension: Suspension) -> None:
        self._state.execute(
            "INSERT OR REPLACE INTO suspension VALUES (?, ?, ?, ?)",
            (suspension.resource, suspension.reason, suspension.since, suspension.until),
        )

    def resume(self, resource: str) -> bool:
        """End a suspension; whether there was one."""
        return bool(
            self._state.execute("DELETE FROM suspension WHERE resource = ? RETURNING resource", (resource,))
        )

    def end_suspensions(self, now: float) -> list[str]:
        """Take out those whose time is over; their resources, each told to one caller only."""
        rows = self._state.execute(
            "DELETE FROM suspension WHERE until IS NOT NULL AND until <= ? RETURNING resource", (now,)
        )
        return [resource for (resource,) in rows]

    def suspensions(self) -> list[Suspension]:
        """All of them, those that are over as well."""
        rows = self._state.execute("SELECT resource, reason, since, until FROM suspension ORDER BY resource")
        return [Suspension(*row) for row in rows]

    def put_attempt(self, attempt: Attempt) -> None:
        self._state.execute(
            "INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, ?)",
            (
                attempt.model,
                attempt.revision,
                attempt.failures,
                attempt.at,
                attempt.retry_at,
                attempt.message,
            ),
        )

    def attempts(self) -> dict[ModelId, Attempt]:
        rows = self._state.execute(
            "SELECT model, revision, failures, at, retry_at, message FROM attempt ORDER BY model"
        )
        return {ModelId(row[0]): Attempt(ModelId(row[0]), *row[1:]) for row in rows}

    def forget_attempts(self, models: Iterable[ModelId] | None = None) -> None:
        """Those of `models`, or all."""
        if models is None:
            self._state.execute("DELETE FROM attempt")
            return
        for model in models:
            self._state.execute("DELETE FROM attempt WHERE model = ?", (model,))

    def put_note(self, key: str, value: dict[str, Any]) -> None:
        """Remember one JSON document under `key`."""
        self._state.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, json.dumps(value)))

    def note(self, key: str) -> dict[str, Any]:
        """The document under `key`; empty when there is none."""
        rows = self._state.execute("SELECT data FROM note WHERE key = ?", (key,))
        found: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
        return found
