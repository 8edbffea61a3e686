"""What a supervisor is asked to run, and what it says of it: shared by planning, rendering and adapters."""

from dataclasses import asdict, dataclass
from enum import StrEnum

from reconciler.core.hashing import config_hash
from reconciler.core.types import Bytes, UnitName


class SupervisorKind(StrEnum):
    SYSTEMD = "systemd"
    SYSTEMD_USER = "systemd-user"
    LAUNCHD = "launchd"
    SUPERVISORD = "supervisord"
    PM2 = "pm2"


class GpuAccess(StrEnum):
    """Which device nodes a unit may open."""

    NONE = "none"
    NVIDIA = "nvidia"
    AMD = "amd"


@dataclass(frozen=True, slots=True)
class UnitDefinition:
    """A service as we want it, free of any supervisor's format.

    Everything in here is part of the configuration hash: a change restarts the unit.
    """

    name: UnitName
    description: str
    argv: tuple[str, ...]
    """Explicit and complete; argv[0] is an absolute path. Never passed through a shell."""
    environment: tuple[tuple[str, str], ...]
    working_directory: str
    log_path: str | None
    """None: the supervisor has a journal."""
    memory_limit: Bytes | None
    """Restarted above this resident size."""
    read_paths: tuple[str, ...]
    write_paths: tuple[str, ...]
    gpu: GpuAccess
    loopback: bool
    """True: listens on 127.0.0.1; False: a UNIX socket only, so it needs no network at all."""
    stop_timeout_seconds: int = 10
    """Then it is killed: llama-server can hang for good when SIGTERM meets it in the middle of a token."""
    user: str | None = None
    """Whom the process runs as where the supervisor runs as root (systemd in system scope, launchd daemons).
    None: whoever runs the supervisor."""
    peers: tuple[str, ...] = ()
    """`host:port` of the servers elsewhere that it talks to (RPC devices). Where the supervisor filters
    addresses, these are let through."""

    @property
    def config_hash(self) -> str:
        """What came later counts only where it says something: units of earlier releases keep their hash."""
        fields = asdict(self)
        if self.user is None:
            del fields["user"]
        if not self.peers:
            del fields["peers"]
        return config_hash(fields)


@dataclass(frozen=True, slots=True)
class RenderedUnit:
    """A unit's file as text, in one supervisor's format."""

    name: UnitName
    text: str
    config_hash: str


class UnitState(StrEnum):
    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    """Known, not running, and nothing failed: never started, or stopped by a person."""
    RESTARTING = "restarting"
    """It crashed and waits for its next try."""
    FAILED = "failed"
    """The supervisor gave up on it (crash loop)."""
    ABSENT = "absent"
    """The supervisor does not know it."""


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """What the supervisor says. `since` is in seconds since the epoch, None where it does not tell."""

    name: UnitName
    state: UnitState
    pid: int | None = None
    restarts: int = 0
    since: float | None = None
    detail: str | None = None
