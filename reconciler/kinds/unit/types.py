"""What is wanted of a unit, and what was seen of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.endpoint import Endpoint
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import Bytes, ModelId, ProfileName, UnitName, VersionId
from reconciler.core.units import SupervisorKind, UnitDefinition, UnitStatus

UNIT_MODE = 0o644
"""Of a unit's file. It holds no secrets, and nobody but its owner may say what runs."""


@dataclass(frozen=True, slots=True)
class DesiredUnit:
    """One runtime as the spec wants it under the active profile."""

    definition: UnitDefinition
    model: ModelId
    version: VersionId
    profile: ProfileName
    endpoint: Endpoint
    embedding: bool
    ready_seconds: float
    """How long it may take to become ready."""
    needs: tuple[str, ...] = ()
    """Ids of operations that must succeed before it starts, where the plan holds them."""
    blocked: tuple[str, str | None] | None = None
    """Why it cannot be served now, and the mending command: an unresolved version, a missing engine flag."""
    takes: Mapping[str, Bytes] | None = None
    """Memory that it will take, by device and of `ram`; None where that is not known."""

    @property
    def name(self) -> UnitName:
        return self.definition.name


@dataclass(frozen=True, slots=True)
class ObservedUnit:
    """What the machine shows of one unit."""

    status: UnitStatus
    file_hash: str | None
    """Hash of the unit file's text; None where there is no file."""
    file_owner: str | None
    """Owner that the file names; None where it names none."""
    as_written: bool = False
    """Whether its supervisor does the same by the file as by the text that was written: only comments and
    marks differ then, if anything."""
    access: str | None = None
    """What is wrong with the file's mode or owner; None when they are as they were written."""
    port_holder: str | None = None
    """Who listens on the wanted port, when that is none of ours."""
    port_owner: UnitName | None = None
    """Which other unit of ours listens there."""


@dataclass(frozen=True, slots=True)
class UnitWorld:
    """Everything that planning units looks at besides the spec."""

    supervisor: SupervisorKind
    supervisor_running: bool
    template: str
    owner: str
    generation: int
    """The one that this plan would make."""
    owned: Mapping[UnitName, OwnedUnit]
    last_ready: Mapping[UnitName, OwnedUnit]
    """Units that answered in the last generation: what a failed change falls back to."""
    observed: Mapping[UnitName, ObservedUnit]
    doubted: frozenset[UnitName] = frozenset()
    """Owned units that serve until others have taken over from them: their files are to be as written, and
    nothing else is done to them."""


@dataclass(frozen=True, slots=True)
class UnitChange:
    """Payload of write, start, restart, check and restore: the unit as it will be, and as it was."""

    unit: OwnedUnit
    previous: OwnedUnit | None
    """The last that answered; None when there is nothing to fall back to."""
    embedding: bool
    ready_seconds: float
    memory_limit: int | None
    kept: bool = False
    """It goes on as it is, though something else is wanted of its model: that it answers proves nothing of
    what is wanted."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What comes before a unit's start, such as how it takes over from another of its model."""

    previous: OwnedUnit | None
    """What goes on serving when the new one does not become ready; None when there is nothing."""
    after: tuple[str, ...] = ()
    """Operations that make room for it; they must have succeeded before it starts."""
    revive: bool = False
    """`previous` does not run by then, and is started again when the new one fails."""
    stopped: bool = False
    """The unit itself runs now, and is stopped by then: its port is wanted by another."""


@dataclass(frozen=True, slots=True)
class UnitReturn:
    """Payload of restore where two units are involved: the one that failed goes, the other serves."""

    failed: UnitName
    previous: UnitChange
    revive: bool


@dataclass(frozen=True, slots=True)
class UnitStop:
    """Payload of stop."""

    name: UnitName
    endpoint: str
    drain_seconds: float
    """So long it may take to finish the requests that it has; 0: it is not asked."""


@dataclass(frozen=True, slots=True)
class UnitNames:
    """Payload of reload, keep, drain and remove."""

    changed: tuple[UnitName, ...] = ()
    removed: tuple[UnitName, ...] = ()
