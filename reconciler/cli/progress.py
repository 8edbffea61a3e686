"""Tells of operations as they end: a line each for a reader, NDJSON for a program."""

from collections.abc import Sequence

from reconciler.cli.errors import explain
from reconciler.cli.output import Output, Style, paint
from reconciler.core.operations import Operation
from reconciler.reconcile.executor import Listener, Outcome, Result

_WORDS = {
    Outcome.DONE: ("✓", Style.GOOD),
    Outcome.FAILED: ("✗", Style.BAD),
    Outcome.SKIPPED: ("·", Style.DIM),
}


class Narrator(Listener):
    """Prints each result once."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def began(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            self._output.event({"event": "began", "operation": operation.id}, None)

    def ended(self, result: Result) -> None:
        explanations = [] if result.error is None else explain(result.error)
        event = {
            "event": "ended",
            "operation": result.operation.id,
            "outcome": result.outcome.value,
            "seconds": round(result.seconds, 3),
            "errors": [explanation.document() for explanation in explanations],
        }
        self._output.event(event, _line(result))
        for explanation in explanations:
            for line in explanation.lines():
                self._output.note(f"    {line}")


def _line(result: Result) -> str | None:
    if result.outcome is Outcome.SKIPPED and result.operation.when.value == "failure":
        return None  # the way back was not needed
    sign, style = _WORDS[result.outcome]
    told = f"{result.operation.verb} {result.operation.resource}"
    took = f" ({result.seconds:.2f} s)" if result.outcome is not Outcome.SKIPPED else " (skipped)"
    return f"  {paint(sign, style)} {told}{took}"
