"""Failures of a download that the layers above treat differently from an end."""

from reconciler.core.errors import SourceError


class TransientError(SourceError):
    """May go away by itself: no answer, a broken connection, an overloaded server. Worth another try."""

    def __init__(
        self,
        what: str,
        *,
        hint: str = "run the command again; a download goes on where it stopped",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, hint=hint)
        self.retry_after = retry_after
        """Seconds that the server asked for."""


class StartOverError(SourceError):
    """What was received so far does not belong to what the server has now."""
