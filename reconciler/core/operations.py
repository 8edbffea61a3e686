"""One atomic step of a plan, and the graph that steps form."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    """What an operation does. One call to the outside each."""

    PULL = "pull"
    LINK = "link"
    PLACE = "place"
    WRITE = "write"
    LAUNCH = "launch"
    """Start the supervisor itself."""
    RELOAD = "reload"
    START = "start"
    RESTART = "restart"
    CHECK = "check"
    RESTORE = "restore"
    COMMIT = "commit"
    HOLD = "hold"
    """Let requests wait at the gateway."""
    ROUTE = "route"
    """Let requests go to a runtime."""
    RELEASE = "release"
    """Turn away the requests that wait: nothing will serve them soon."""
    KEEP = "keep"
    """What was to go is wanted again."""
    DRAIN = "drain"
    """Is not wanted any more, and goes when it has been idle for a while."""
    STOP = "stop"
    REMOVE = "remove"


class When(StrEnum):
    """What must have become of its dependencies for an operation to run."""

    SUCCESS = "success"
    """All succeeded; otherwise it is skipped."""
    FAILURE = "failure"
    """One failed by itself; otherwise it is skipped."""
    DONE = "done"
    """All ended, however."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A step with its cause. `id` is `kind:verb:resource`, the same for the same step in every plan."""

    verb: Verb
    kind: str
    resource: str
    cause: str
    depends_on: tuple[str, ...] = ()
    when: When = When.SUCCESS
    destructive: bool = False
    payload: Any = None
    """What the kind's `apply` needs to do it: a frozen dataclass of that kind."""

    @property
    def id(self) -> str:
        return operation_id(self.kind, self.verb, self.resource)

    def document(self) -> dict[str, Any]:
        """The part of the JSON contract that stands for one operation."""
        return {
            "id": self.id,
            "verb": self.verb.value,
            "kind": self.kind,
            "resource": self.resource,
            "cause": self.cause,
            "destructive": self.destructive,
            "depends_on": list(self.depends_on),
            "when": self.when.value,
        }

    def fingerprint(self) -> dict[str, Any]:
        """Everything about the step, so that two plans can be compared."""
        return {**self.document(), "payload": None if self.payload is None else asdict(self.payload)}


def operation_id(kind: str, verb: Verb, resource: str) -> str:
    return f"{kind}:{verb.value}:{resource}"


def check_graph(operations: Sequence[Operation]) -> None:
    """ValueError unless ids are unique and every dependency stands earlier in the list (so: no cycles)."""
    seen: set[str] = set()
    for operation in operations:
        missing = [needed for needed in operation.depends_on if needed not in seen]
        if missing:
            raise ValueError(f"{operation.id} depends on {missing}, which do not come before it")
        if operation.id in seen:
            raise ValueError(f"{operation.id} stands twice in the plan")
        seen.add(operation.id)


def ids_of(operations: Iterable[Operation]) -> frozenset[str]:
    return frozenset(operation.id for operation in operations)


def known(ids: Iterable[str], present: Container[str]) -> tuple[str, ...]:
    """Those of `ids` that are in the plan: a step that is not needed is no dependency."""
    return tuple(identifier for identifier in ids if identifier in present)
