"""What mends a failure must hear of every one that calls for it, however far before. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.kinds.unit.plan import KIND
from reconciler.kinds.unit.types import UnitReturn

_RETURN = operation_id(KIND, Verb.RESTORE, "")


def watch_room(steps: Sequence[Operation]) -> tuple[Operation, ...]:
    """Let each return of a runtime depend on all that comes before the stops which its successor waits for.

    A stop that is skipped did not fail by itself: what failed may be the download of another model, for which
    this one makes room as well. What runs however its dependencies ended passes no failure of theirs on.

    Where no runtime is brought back, what turns requests away depends likewise on all that was to serve them.
    """
    before: dict[str, frozenset[str]] = {}
    found: list[Operation] = []
    for step in steps:
        needed = step.depends_on
        if step.verb is Verb.RESTORE and isinstance(step.payload, UnitReturn):
            stops = [one for one in needed if one.startswith(operation_id(KIND, Verb.STOP, ""))]
            write = operation_id(KIND, Verb.WRITE, step.resource)
            own = before.get(write, frozenset()) | {write, *needed}
            causes = frozenset[str]().union(*(before[stop] for stop in stops)) - own
            needed = (*needed, *(one for one in before if one in causes))
        elif step.verb is Verb.RELEASE and not any(one.startswith(_RETURN) for one in needed):
            causes = frozenset[str]().union(*(before[one] for one in needed)) - set(needed)
            needed = (*needed, *(one for one in before if one in causes))
        passed = needed if step.when is When.SUCCESS else ()
        before[step.id] = frozenset(passed).union(*(before[one] for one in passed))
        found.append(step if needed == step.depends_on else replace(step, depends_on=needed))
    return tuple(found)
