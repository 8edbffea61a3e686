"""What was brought back after a failed change is kept running, tried ever less often where that fails."""

import time
from collections.abc import Iterable, Mapping

from reconciler.core.attempts import Attempt, failed
from reconciler.core.operations import Verb
from reconciler.core.types import ModelId
from reconciler.kinds.unit.types import UnitChange
from reconciler.reconcile.executor import Outcome, Result


class Keeping:
    """Remembers which models could not be kept running, for as long as the watcher runs."""

    def __init__(self) -> None:
        self._failed: dict[ModelId, Attempt] = {}

    def due(self, attempts: Iterable[Attempt], revision: str) -> frozenset[ModelId]:
        """Models whose change is given up at this revision, and that may be mended as they are now."""
        models = (one.model for one in attempts if one.settled and one.revision == revision)
        now = time.time()
        return frozenset(
            model for model in models if model not in self._failed or self._failed[model].may_try(now)
        )

    def heard(self, results: Mapping[str, Result]) -> None:
        """What came of a pass."""
        for result in results.values():
            change = result.operation.payload
            if not isinstance(change, UnitChange) or not change.kept:
                continue
            model = change.unit.model
            if result.outcome is Outcome.FAILED:
                before = self._failed.get(model)
                self._failed[model] = failed(before, model, None, time.time(), str(result.error))
            elif result.outcome is Outcome.DONE and result.operation.verb is Verb.CHECK:
                self._failed.pop(model, None)
