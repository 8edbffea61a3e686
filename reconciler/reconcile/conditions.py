"""What holds now of each resource, in one sentence each; what `status` shows beside its table."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.core.attempts import headline
from reconciler.core.conditions import READY, RECONCILING, STALLED, SUSPENDED, Condition
from reconciler.core.errors import ModelctlError, SpecError, SpecErrors
from reconciler.core.inventory import OwnedUnit
from reconciler.core.plan import Plan
from reconciler.core.sizes import format_seconds
from reconciler.core.suspension import EVERYTHING, in_force
from reconciler.core.units import UnitState, UnitStatus
from reconciler.host.processes import birth
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.kinds.route.types import RouteWorld

WATCHER = "watcher"
"""Key of the note in which a watcher says how it stands; empty after an orderly end."""

_NOT_READY = {
    UnitState.RUNNING: (RECONCILING, "Loading", "it runs and does not answer yet"),
    UnitState.STARTING: (RECONCILING, "Starting", "its process starts"),
    UnitState.RESTARTING: (RECONCILING, "Restarting", "it ended unasked and is started again"),
    UnitState.STOPPED: (STALLED, "Stopped", "it is not running"),
    UnitState.FAILED: (STALLED, "GaveUp", "its supervisor starts it no more"),
    UnitState.ABSENT: (STALLED, "Absent", "its supervisor does not know it"),
}
_MENDED_BY = {
    UnitState.STOPPED: "`modelctl apply` starts it",
    UnitState.FAILED: "`modelctl logs {model}` tells why, `modelctl apply` starts it",
    UnitState.ABSENT: "`modelctl apply` brings it back",
}


def of_spec(fault: ModelctlError | None) -> list[Condition]:
    """Why no plan can be made from the spec of the work tree."""
    if fault is None:
        return []
    faults: tuple[ModelctlError, ...] = fault.faults if isinstance(fault, SpecErrors) else (fault,)
    reason = "SpecInvalid" if isinstance(fault, SpecError) else "CannotPlan"
    return [
        Condition("spec", STALLED, reason, f"{one.where}: {one.what}" if one.where else one.what)
        for one in faults
    ]


def of_journal(state: State, plan: Plan | None) -> list[Condition]:
    """An apply that is under way, or was killed; not when nothing was left to do of it."""
    if plan is not None and not plan.has_changes:
        return []
    open_steps = [entry for entry in state.last_apply() if entry.ended_at is None]
    if not open_steps:
        return []
    since = open_steps[0].started_at
    message = (
        f"an apply began {time.time() - since:.0f} s ago and has not finished: {open_steps[0].operation}"
    )
    return [Condition("apply", RECONCILING, "ApplyUnfinished", message, since=since)]


def of_unit(
    unit: OwnedUnit, status: UnitStatus, *, ready: bool, held: bool, revision: str | None
) -> list[Condition]:
    """How one runtime stands, and why its last change failed."""
    if ready:
        kind, reason, message = READY, "Serving", "it answers"
    elif held:
        kind, reason = SUSPENDED, "Held"
        message = f"a person stopped it; `modelctl resume {unit.model}` starts it again"
    else:
        kind, reason, message = _NOT_READY[status.state]
        message = f"{message}: {status.detail}" if status.detail else message
        if status.state in _MENDED_BY:
            message += f"; {_MENDED_BY[status.state].format(model=unit.model)}"
    found = [Condition(unit.name, kind, reason, message, revision, status.since)]
    if unit.retired_at is not None:
        message = "it is not wanted any more, and stops when it has been idle for a while"
        found = [Condition(unit.name, SUSPENDED, "Retiring", message, revision, unit.retired_at)]
    if unit.failure:
        found.append(Condition(unit.name, STALLED, "ChangeFailed", unit.failure))
    return found


def of_gateway(gateway: RouteWorld) -> list[Condition]:
    """Why models behind the gateway are not reached."""
    if not gateway.in_force:
        return []
    if not gateway.up:
        message = (
            "the gateway does not answer; `modelctl apply` starts it, `modelctl logs modelctl-gateway` tells"
        )
        return [Condition("gateway", STALLED, "GatewayDown", message)]
    found = [
        Condition("gateway", STALLED, "PortTaken", f"it cannot listen on port {port}: {why}")
        for port, why in gateway.refused.items()
    ]
    found += [
        Condition(model, STALLED, "RequestsRefused", "nothing serves it, and the gateway turns requests away")
        if model in gateway.released
        else Condition(model, RECONCILING, "RequestsWait", "its requests wait at the gateway for a runtime")
        for model, route in gateway.in_force.items()
        if route.backend is None
    ]
    return found


def of_plan(plan: Plan | None) -> list[Condition]:
    """What the spec wants and cannot be done."""
    if plan is None:
        return []
    message = "the spec has it no more; `modelctl apply --prune` removes it"
    return [
        *(
            Condition(
                refusal.resource,
                STALLED,
                "Refused",
                refusal.reason + (f" ({refusal.hint})" if refusal.hint else ""),
            )
            for refusal in plan.refused
        ),
        *(Condition(name, SUSPENDED, "NotInSpec", message) for name in plan.kept),
    ]


def of_records(records: Records) -> list[Condition]:
    """What is suspended, what waits after a failure, and how the watcher stands."""
    now = time.time()
    found = [
        Condition(
            "everything" if one.resource == EVERYTHING else one.resource,
            SUSPENDED,
            "Suspended",
            one.reason + (f"; for another {format_seconds(one.until - now)}" if one.until else ""),
            since=one.since,
        )
        for one in in_force(records.suspensions(), now).values()
    ]
    for attempt in records.attempts().values():
        why = headline(attempt.message) or "it failed"
        if attempt.retry_at is None:
            reason = "NotRetried"
            what = f"not tried again before there is a new commit or `modelctl resume {attempt.model}`"
        else:
            reason, wait = "BackingOff", format_seconds(max(0.0, attempt.retry_at - now))
            times = "once" if attempt.failures == 1 else f"{attempt.failures} times"
            what = f"failed {times}, the watcher tries again in {wait}"
        found.append(
            Condition(attempt.model, STALLED, reason, f"{what}: {why}", attempt.revision, attempt.at)
        )
    return [*found, *_of_watcher(records.note(WATCHER))]


def _of_watcher(note: Mapping[str, Any]) -> Iterable[Condition]:
    if not note:
        return
    if not is_running(note):
        message = f"the watcher (pid {note['pid']}) is gone without having ended: `modelctl watch` starts one"
        yield Condition("watch", STALLED, "WatcherGone", message)
        return
    for document in note["conditions"]:
        yield Condition(**document)
    if note["dirty"] and note["follow"] == "commit":
        message = "edits in the work tree are not committed, and the watcher follows commits"
        yield Condition("spec", SUSPENDED, "NotCommitted", message, note["revision"])


def is_running(note: Mapping[str, Any]) -> bool:
    """Whether the watcher that wrote `note` runs, and not another process that got its number since."""
    born = birth(int(note["pid"]))
    return born is not None and note.get("birth", born) == born
