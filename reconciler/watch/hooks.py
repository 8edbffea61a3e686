"""Runs the spec's hooks for events, one after the other, so that nothing waits for them."""

import json
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress

from reconciler.core.events import Event, EventType
from reconciler.host.hook_process import run_hook
from reconciler.host.records import Records
from reconciler.spec.model import Hook

_WAITING = 256
"""Hook runs that may wait; further ones are dropped, and that is said."""
_LAST_SECONDS = 5.0
"""For what still waits when the watcher ends."""


class HookRunner:
    """One worker thread. Failures become events, and events of failed hooks run no hook."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._queue: queue.Queue[tuple[Hook, Event] | None] = queue.Queue(_WAITING)
        self._seen = records.newest_event()
        self._dropped = 0
        self._worker: threading.Thread | None = None
        self._closed = threading.Event()

    def dispatch(self, hooks: Sequence[Hook]) -> None:
        """Hand over every event since the last call, whoever wrote it. Never waits."""
        newest = self._records.newest_event()
        if newest == self._seen:
            return
        events = self._records.events(after=self._seen) if hooks else []
        self._seen = newest
        for event in events:
            for hook in hooks:
                if event.type in hook.on and event.type is not EventType.HOOK_FAILED:
                    self._put(hook, event)

    def close(self, seconds: float = _LAST_SECONDS) -> None:
        """Let what waits end, for so long; what then still runs is left to its own end, and says nothing."""
        if self._worker is not None:
            with suppress(queue.Full):
                self._queue.put(None, timeout=seconds)
                self._worker.join(seconds)
        self._closed.set()

    def _put(self, hook: Hook, event: Event) -> None:
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="hooks", daemon=True)
            self._worker.start()
        try:
            self._queue.put_nowait((hook, event))
        except queue.Full:
            self._dropped += 1
            if (
                self._dropped & (self._dropped - 1) == 0
            ):  # said at 1, 2, 4, 8, …: a full queue has no room for more
                self._fail(hook, f"{self._dropped} runs dropped: hooks are slower than events come")

    def _work(self) -> None:
        while not self._closed.is_set() and (item := self._queue.get()) is not None:
            hook, event = item
            said = json.dumps(event.document(), ensure_ascii=False)
            problem = run_hook(hook.run, said + "\n", hook.timeout, {"MODELCTL_EVENT": event.type.value})
            if problem is not None:
                self._fail(hook, problem)

    def _fail(self, hook: Hook, problem: str) -> None:
        if not self._closed.is_set():  # the database goes with the watcher
            self._records.write(EventType.HOOK_FAILED, hook.run[0], problem)
