"""Runs a plan's operations in their order, side by side where they are independent. Decides nothing."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.errors import GivenUpError, ModelctlError
from reconciler.core.operations import Operation, Verb, When, check_graph

Report = Callable[[Operation, Exception | None], None]
"""Tells that one operation of a batch ended, and how."""

WAITING_SECONDS = 0.5

Handler = Callable[[Sequence[Operation], Report], None]
"""Does a batch of operations of one kind and verb, and reports each of them as it ends."""


class Outcome(StrEnum):
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """How one operation ended; one that was given up counts as skipped."""

    operation: Operation
    outcome: Outcome
    seconds: float
    error: Exception | None = None


class Listener:
    """Hears of operations as they begin and end; the journal and the printer are listeners."""

    def began(self, operations: Sequence[Operation]) -> None:
        """Called before a batch touches anything."""

    def ended(self, result: Result) -> None:
        """Called once per operation, from the thread that runs `execute`."""

    def waiting(self) -> None:
        """Called every `WAITING_SECONDS` while operations are under way, from that thread too."""


def execute(
    operations: Sequence[Operation],
    handlers: Mapping[tuple[str, Verb], Handler],
    listeners: Sequence[Listener] = (),
) -> dict[str, Result]:
    """Run the graph to its end; a failure stops only what depends on it.

    Operations that become ready together and share kind and verb are handed over as one batch, so that a
    supervisor is asked once for twenty units. Raises ValueError for a list that is no graph.
    """
    check_graph(operations)
    run = _Run(handlers, listeners)
    waiting = list(operations)
    while waiting or run.under_way:
        ready, waiting = _settle(waiting, run)
        run.begin(ready)
        if run.under_way:
            run.await_one()
    return run.results


def _settle(waiting: Sequence[Operation], run: "_Run") -> tuple[list[Operation], list[Operation]]:
    """Split what can run now from what must wait; what can never run any more is skipped on the way."""
    ready: list[Operation] = []
    still: list[Operation] = []
    for operation in waiting:
        ended = [run.results[needed] for needed in operation.depends_on if needed in run.results]
        failed = any(result.outcome is Outcome.FAILED for result in ended)
        unfit = any(result.outcome is not Outcome.DONE for result in ended)
        if operation.when is When.SUCCESS and unfit:
            run.end(Result(operation, Outcome.SKIPPED, 0.0))
        elif len(ended) < len(operation.depends_on):
            still.append(operation)
        elif operation.when is When.FAILURE and not failed:
            run.end(Result(operation, Outcome.SKIPPED, 0.0))
        else:
            ready.append(operation)
    return ready, still


class _Run:
    """What one call of `execute` has in the air."""

    def __init__(self, handlers: Mapping[tuple[str, Verb], Handler], listeners: Sequence[Listener]) -> None:
        self.results: dict[str, Result] = {}
        self.under_way: dict[str, float] = {}
        self._handlers = handlers
        self._listeners = listeners
        self._ended: queue.SimpleQueue[tuple[Operation, Exception | None]] = queue.SimpleQueue()
        self._told = time.monotonic()

    def begin(self, ready: Sequence[Operation]) -> None:
        batches: dict[tuple[str, Verb], list[Operation]] = {}
        for operation in ready:
            batches.setdefault((operation.kind, operation.verb), []).append(operation)
        for key, batch in batches.items():
            for listener in self._listeners:
                listener.began(batch)
            now = time.monotonic()
            self.under_way.update({operation.id: now for operation in batch})
            thread = threading.Thread(target=self._work, args=(self._handlers[key], batch), daemon=True)
            thread.start()

    def _work(self, handler: Handler, batch: Sequence[Operation]) -> None:
        reported: set[str] = set()

        def report(operation: Operation, error: Exception | None) -> None:
            if operation.id not in reported:
                reported.add(operation.id)
                self._ended.put((operation, error))

        failure: Exception = ModelctlError("the step ended without saying how")
        try:
            handler(batch, report)
        except Exception as error:  # noqa: BLE001 - a failure belongs to its operations, never to the whole run
            failure = error
        for operation in batch:
            report(operation, failure)

    def await_one(self) -> None:
        operation, error = self._next()
        seconds = time.monotonic() - self.under_way.pop(operation.id)
        outcome = Outcome.DONE if error is None else Outcome.FAILED
        if isinstance(error, GivenUpError):
            outcome = Outcome.SKIPPED
        self.end(Result(operation, outcome, seconds, error))

    def _next(self) -> tuple[Operation, Exception | None]:
        while True:
            if time.monotonic() - self._told >= WAITING_SECONDS:
                for listener in self._listeners:
                    listener.waiting()
                self._told = time.monotonic()
            with suppress(queue.Empty):
                return self._ended.get(timeout=WAITING_SECONDS)

    def end(self, result: Result) -> None:
        self.results[result.operation.id] = result
        for listener in self._listeners:
            listener.ended(result)
