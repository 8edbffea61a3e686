"""How long a download waits, and for what, before it ends."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that make every download end: done, or with a reason."""

    connect_seconds: float = 10.0
    answer_seconds: float = 60.0
    """From the connection to the last byte of the answer's header."""
    stall_seconds: float = 30.0
    """Without a byte for so long, a connection has failed."""
    minimum_rate: int = 1024
    """Bytes a second and connection, over `stall_seconds`; slower has failed as well."""
    connections: int = 4
    part: int = 32 * 1024**2
    """Bytes that a connection asks for at once: large, so that the way there and back costs nothing."""
    attempts: int = 5
    """Failures in a row, without `progress` between them, until a connection gives up."""
    progress: int = 1024 * 1024
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60.0
    """Bound for what a server may ask by Retry-After."""

    def wait_seconds(self, failures: int, retry_after: float | None) -> float:
        """How long to wait after the n-th failure in a row: doubling, spread, never under what was asked."""
        backoff: float = self.first_wait_seconds * 2 ** (failures - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        return min(max(backoff, retry_after or 0.0), self.longest_wait_seconds)


DEFAULT_LIMITS = Limits()
