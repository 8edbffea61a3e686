"""Writes down what an apply does, before and after, so that a killed one can be told from a finished one."""

from collections.abc import Sequence

from reconciler.core.operations import Operation
from reconciler.host.state import State
from reconciler.reconcile.executor import Listener, Result


class Journal(Listener):
    """One apply's rows in the state database."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._apply = state.begin_apply()

    def began(self, operations: Sequence[Operation]) -> None:
        self._state.journal_start(self._apply, [operation.id for operation in operations])

    def ended(self, result: Result) -> None:
        error = None if result.error is None else str(result.error)
        self._state.journal_end(self._apply, [(result.operation.id, result.outcome.value, error)])
