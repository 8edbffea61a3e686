"""What happened, for people and programs that want to hear of it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """Every kind of event; `hooks:` of the spec and `modelctl events --type` name them."""

    APPLY_BEGAN = "apply_began"
    APPLY_ENDED = "apply_ended"
    OPERATION_FAILED = "operation_failed"
    VERSION_STORED = "version_stored"
    RUNTIME_READY = "runtime_ready"
    RUNTIME_FAILED = "runtime_failed"
    """A change of it did not become ready."""
    RUNTIME_RESTORED = "runtime_restored"
    """What answered before the failed change answers again."""
    RUNTIME_RESTARTED = "runtime_restarted"
    """It crashed, and its supervisor started it again."""
    RUNTIME_GAVE_UP = "runtime_gave_up"
    """Its supervisor starts it no more."""
    RUNTIME_HELD = "runtime_held"
    """A person stopped it."""
    RUNTIME_REMOVED = "runtime_removed"
    PROFILE_CHANGED = "profile_changed"
    REVISION_SEEN = "revision_seen"
    SPEC_INVALID = "spec_invalid"
    BLOCKED = "blocked"
    """The watcher cannot follow what it is told to follow, or a guard refused."""
    UNBLOCKED = "unblocked"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    WATCH_BEGAN = "watch_began"
    WATCH_ENDED = "watch_ended"
    HOOK_FAILED = "hook_failed"


@dataclass(frozen=True, slots=True)
class Event:
    """`number` counts up in one state database; `at` is in seconds since the epoch."""

    number: int
    at: float
    type: EventType
    resource: str
    """A model, a unit, a version, or a word such as `watch`, `apply` and `spec`."""
    message: str
    revision: str | None

    def document(self) -> dict[str, Any]:
        return asdict(self)
