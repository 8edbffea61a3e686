"""What the watcher leaves alone, and until when. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

EVERYTHING = "*"
"""As the resource of a suspension: every model, also those that come later."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """Times in seconds since the epoch; without `until` it lasts until somebody resumes."""

    resource: str
    """A model id, or EVERYTHING."""
    reason: str
    since: float
    until: float | None = None

    def holds_at(self, now: float) -> bool:
        return self.until is None or now < self.until

    def document(self) -> dict[str, Any]:
        return asdict(self)


def in_force(suspensions: Iterable[Suspension], now: float) -> dict[str, Suspension]:
    """Those that hold, by resource."""
    return {one.resource: one for one in suspensions if one.holds_at(now)}
