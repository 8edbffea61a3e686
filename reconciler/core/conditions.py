"""What is noteworthy about a resource or the whole, in one sentence each."""

from dataclasses import asdict, dataclass
from typing import Any

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now.

    `type` and `reason` are CamelCase words for programs, `message` is for people.
    """

    resource: str
    type: str
    reason: str
    message: str
    revision: str | None = None
    """The commit that it is about."""
    since: float | None = None
    """Seconds since the epoch."""

    @property
    def is_fault(self) -> bool:
        """Whether somebody should look at it: being ready, or suspended on purpose, is no fault."""
        return self.type not in {READY, SUSPENDED}

    def document(self) -> dict[str, Any]:
        return asdict(self)
