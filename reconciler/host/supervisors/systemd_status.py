"""What `systemctl show` says of a unit, read into our states."""

from collections.abc import Mapping

from reconciler.core.types import UnitName
from reconciler.core.units import UnitState, UnitStatus

PROPERTIES = (
    "Id", "LoadState", "LoadError", "ActiveState", "SubState", "Result", "MainPID", "NRestarts",
    "ExecMainStatus", "StateChangeTimestampMonotonic",
    "ActiveEnterTimestampMonotonic", "ActiveExitTimestampMonotonic",
    "ExecMainStartTimestampMonotonic", "ExecMainExitTimestampMonotonic",
)  # fmt: skip
"""To be asked for by `--property=`."""


_BROKEN = ("bad-setting", "error")
"""LoadState of a unit file that systemd cannot use."""


def read_status(name: UnitName, properties: Mapping[str, str], *, boot: float) -> UnitStatus:
    """Read `systemctl show` of one unit. `boot` is the epoch time at which CLOCK_MONOTONIC was 0."""
    state = _state(properties)
    stamp = "ActiveEnter" if properties["ActiveState"] == "active" else "StateChange"
    since = _seconds(properties, stamp)
    return UnitStatus(
        name=name,
        state=state,
        pid=int(properties.get("MainPID", "0")) or None,
        restarts=int(properties.get("NRestarts", "0")),
        since=boot + since if since else None,
        detail=_detail(properties),
    )


def _state(properties: Mapping[str, str]) -> UnitState:
    match properties["ActiveState"], properties["SubState"]:
        case "active" | "reloading", _:
            return UnitState.RUNNING
        case "activating", substate:
            return UnitState.RESTARTING if substate.startswith("auto-restart") else UnitState.STARTING
        case _ if properties["LoadState"] == "not-found":
            return UnitState.ABSENT
        case "failed", _:
            return UnitState.STOPPED if _was_stopped(properties) else UnitState.FAILED
        case _:
            broken = properties["LoadState"] in _BROKEN
            return UnitState.FAILED if broken else UnitState.STOPPED


def _was_stopped(properties: Mapping[str, str]) -> bool:
    """Whether a failed unit only ended badly when someone stopped it.

    `Result` does not tell (a crash loop reports its last exit), the order of events does: a stop is ordered
    first and the process ends after it; in a crash the process ends first.
    """
    started = _seconds(properties, "ExecMainStart")
    ordered = _seconds(properties, "ActiveExit")
    ended = _seconds(properties, "ExecMainExit")
    return 0 < started <= ordered < ended


def _seconds(properties: Mapping[str, str], stamp: str) -> float:
    return int(properties.get(f"{stamp}TimestampMonotonic", "0") or "0") / 1_000_000


def _detail(properties: Mapping[str, str]) -> str | None:
    load = properties["LoadState"]
    if load in _BROKEN:
        return f"systemd cannot load it: {properties.get('LoadError', '')}"
    if load == "masked" or properties["ActiveState"] == "deactivating":
        return "masked" if load == "masked" else "stopping"
    return _ending(properties.get("Result", "success"), properties.get("ExecMainStatus", "?"))


def _ending(result: str, status: str) -> str | None:
    match result:
        case "success":
            return None
        case "exit-code":
            return f"it ended with exit status {status}"
        case "signal":
            return f"it was ended by signal {status}"
        case "oom-kill":
            return "killed above its memory limit"
        case _:
            return f"systemd says: {result}"
