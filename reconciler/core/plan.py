"""A plan: what would happen and why, what is refused, and what a person should know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.core.hashing import config_hash
from reconciler.core.operations import Operation
from reconciler.core.types import UnitName


@dataclass(frozen=True, slots=True)
class Revision:
    """Where the spec came from. `commit` is None outside Git."""

    commit: str | None
    dirty: bool

    def __str__(self) -> str:
        if self.commit is None:
            return "not in Git"
        return self.commit[:12] + (" (dirty)" if self.dirty else "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A resource that the plan leaves alone because something is wrong with it alone."""

    resource: str
    reason: str
    hint: str | None = None
    guard: bool = False
    """True where a guard said no to the whole request (prune limit, empty spec): exit code 3."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An ordered list of operations; applying them in order makes the machine as the spec says."""

    revision: Revision
    generation: int
    """The generation that the plan starts from."""
    profile: str
    operations: tuple[Operation, ...]
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]
    kept: tuple[UnitName, ...] = ()
    """Units that the spec dropped, and that go only when asked for."""
    whole: bool = True
    """False where models were left out on purpose: who has done it has not reached the revision."""

    @property
    def has_changes(self) -> bool:
        return bool(self.operations)

    @property
    def fingerprint(self) -> str:
        """Equal for plans that would do the same in the same order for the same causes."""
        return config_hash(
            {
                "from": self.generation,
                "operations": [operation.fingerprint() for operation in self.operations],
            }
        )

    def document(self) -> dict[str, Any]:
        return {
            "spec_revision": self.revision.commit,
            "spec_dirty": self.revision.dirty,
            "generation": self.generation,
            "profile": self.profile,
            "has_changes": self.has_changes,
            "operations": [operation.document() for operation in self.operations],
            "refused": [
                {"resource": refusal.resource, "reason": refusal.reason, "hint": refusal.hint}
                for refusal in self.refused
            ],
            "warnings": list(self.warnings),
        }


def render(plan: Plan) -> str:
    """A plan as text, one line per operation, stable enough for golden files."""
    lines = [f"spec {plan.revision}, profile {plan.profile}, generation {plan.generation}"]
    lines += _operations(plan.operations)
    lines += [f"  ! {refusal.resource}: {refusal.reason}" + _hint(refusal) for refusal in plan.refused]
    lines += [f"  note: {warning}" for warning in plan.warnings]
    if plan.operations:
        steps = len(plan.operations)
        lines.append(f"{steps} operation{'s' if steps != 1 else ''}")
    elif plan.refused:
        lines.append("nothing can be done")
    else:
        lines.append("nothing to do")
    return "\n".join(lines)


_SIGNS = {"drain": "-", "stop": "-", "remove": "-", "restart": "~", "restore": "?", "release": "?"}


def _operations(operations: Sequence[Operation]) -> list[str]:
    if not operations:
        return []
    verbs = max(len(operation.verb) for operation in operations)
    return [
        f"  {_SIGNS.get(step.verb, '+')} {step.verb:<{verbs}}  {step.resource}  ({step.cause})"
        for step in operations
    ]


def _hint(refusal: Refusal) -> str:
    return f" (hint: {refusal.hint})" if refusal.hint else ""
