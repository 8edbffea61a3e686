"""What failed, and when it may be tried again. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.types import ModelId

FIRST_SECONDS = 10.0
"""After the first failure; each further one doubles it."""
LONGEST_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model whose last change failed. Gone with the next success or the next revision."""

    model: ModelId
    revision: str | None
    failures: int
    at: float
    """When it last failed, in seconds since the epoch."""
    retry_at: float | None
    """None: not before there is a new revision, because what answered before was brought back."""
    message: str

    @property
    def settled(self) -> bool:
        """Whether this revision of the model is given up."""
        return self.retry_at is None

    def may_try(self, now: float) -> bool:
        return self.retry_at is not None and now >= self.retry_at

    def document(self) -> dict[str, Any]:
        return asdict(self)


def headline(message: str) -> str:
    """A failure in one line: without the log that stands below it."""
    return message.partition("\n")[0].removesuffix("; its log ends:")


def failed(before: Attempt | None, model: ModelId, revision: str | None, now: float, message: str) -> Attempt:
    """One more failure: wait twice as long as the last time, from ten seconds up to half an hour."""
    failures = 1 + (before.failures if before is not None and before.revision == revision else 0)
    delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 20))
    return Attempt(model, revision, failures, now, now + delay, message)
