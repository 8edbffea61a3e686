"""What modelctl remembers of the things that it made."""

from dataclasses import asdict, dataclass
from typing import Any

from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId, unit_name


@dataclass(frozen=True, slots=True)
class OwnedUnit:
    """A unit that modelctl wrote. Rebuilt from the unit file's own header when the state was lost."""

    name: UnitName
    model: ModelId
    version: VersionId
    profile: ProfileName
    endpoint: str
    config_hash: str
    """Of the configuration that the file holds."""
    text: str
    """The unit file as written: what a restore brings back, and what drift is measured against."""
    started_hash: str | None
    """Of the configuration that was last started; None before the first start."""
    ready_hash: str | None
    """Of the configuration that last answered; what a failed change falls back to."""
    generation: int
    """The generation in which the file was written."""
    failure: str | None = None
    """Why the last change of it failed; None when it did not."""
    retired_at: float | None = None
    """Since when nothing wants it any more and it was not used, in seconds since the epoch; None while it is
    wanted."""

    @property
    def placed_as(self) -> UnitName:
        """The runtime that its placement is kept for, whatever version of it this is."""
        return unit_name(self.model, self.profile)

    @property
    def answered(self) -> bool:
        """Whether it has answered as it is configured now."""
        return self.ready_hash is not None and self.ready_hash == self.config_hash

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Generation:
    """One applied state, kept for rollback. `created_at` is in seconds since the epoch."""

    number: int
    created_at: float
    revision: str | None
    dirty: bool
    profile: str
    units: tuple[OwnedUnit, ...]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One operation of one apply. `ended_at` is None while it runs, or for ever when the apply was killed."""

    apply: int
    operation: str
    status: str
    started_at: float
    ended_at: float | None
    error: str | None
