"""Shows the files that an apply brings into the store, as `pull` shows its own."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.output import Output
from reconciler.cli.transfers import Begin, Transfer, transfers
from reconciler.core.operations import Operation, Verb
from reconciler.core.types import Sha256
from reconciler.host.artifacts.store import Store
from reconciler.host.artifacts.underway import under_way
from reconciler.reconcile.executor import Listener, Result

if TYPE_CHECKING:
    from reconciler.core.plan import Plan

_LOOK_SECONDS = 0.2


@contextmanager
def downloads(plan: "Plan", store: Path, output: Output) -> Iterator[Listener]:
    """A listener that shows what is fetched, while the context lasts."""
    if not any(operation.verb is Verb.PULL for operation in plan.operations):
        yield Listener()
        return
    with transfers(output) as begin:
        shown = _Downloads(Store(store), begin)
        try:
            yield shown
        finally:
            shown.close()


class _Downloads(Listener):
    """Looks at the partial files now and then: the steps themselves say only that they began and ended."""

    def __init__(self, store: Store, begin: Begin) -> None:
        self._store = store
        self._begin = begin
        self._shown: dict[str, tuple[Sha256, Transfer]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._looking = threading.Thread(target=self._look, name="downloads", daemon=True)
        self._looking.start()

    def began(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if operation.verb is Verb.PULL:
                with self._lock:
                    self._shown[operation.id] = operation.payload.sha256, self._begin(operation.resource)

    def ended(self, result: Result) -> None:
        with self._lock:
            _, transfer = self._shown.pop(result.operation.id, (None, None))
            if transfer is not None:
                transfer.progress(1, 1)

    def close(self) -> None:
        self._stop.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            with self._lock:
                for sha256, transfer in self._shown.values():
                    seen = under_way(self._store, sha256)
                    if seen is not None and seen.total is not None:
                        transfer.progress(seen.done, seen.total)
