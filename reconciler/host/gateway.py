"""The gateway, from outside: the snapshot that it reads, and its control socket."""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reconciler.core.errors import FormatError, UnhealthyError
from reconciler.core.routes import BackendUse, Route, Snapshot, parse_snapshot
from reconciler.core.types import ModelId
from reconciler.host.files import atomic_write
from reconciler.host.socket_http import SocketConnection

_ANSWER_SECONDS = 10.0
"""A reload opens and closes listeners; a busy gateway may take a moment to get to it."""
_POLL_SECONDS, _ALIVE_SECONDS = 0.010, 0.25
_SEE_LOG = "see the gateway's log"


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What a running gateway says of itself."""

    pid: int
    routes: Mapping[ModelId, Route]
    """In force now."""
    refused: Mapping[int, str]
    """Ports of routes that it could not open, and why."""
    backends: Mapping[str, BackendUse]
    """By endpoint as text. One that is no longer routed stays until it was idle for an hour."""
    released: frozenset[ModelId] = frozenset()
    """Models without a backend whose requests are turned away instead of waiting."""


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Replace the file that the gateway reads, for the eyes of its folder's owner only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_write(path, json.dumps(snapshot.document(), indent=1) + "\n", mode=0o600)
    if os.geteuid() == 0:
        os.chown(path, path.parent.stat().st_uid, -1)  # the gateway runs as the owner of the store


def read_snapshot(path: Path) -> Snapshot:
    """What the file says; no routes when there is none. Raises FormatError when it is broken."""
    try:
        return parse_snapshot(json.loads(path.read_text()))
    except FileNotFoundError:
        return Snapshot({})
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(
            f"{path} cannot be read as the gateway's routes: {error}", hint="modelctl apply"
        ) from error


def status(control: Path) -> GatewayStatus | None:
    """What the gateway behind the socket says; None when none answers."""
    try:
        code, answer = _ask(control, "GET", "/routes", _ANSWER_SECONDS)
    except (OSError, http.client.HTTPException):
        return None
    try:
        return _status(answer) if code == http.client.OK else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def reload(control: Path) -> GatewayStatus:
    """Have the gateway read its snapshot again; when this returns, the new routes are in force.

    Raises FormatError when it does not take the snapshot, which leaves the old routes in force, and
    UnhealthyError when it does not answer.
    """
    try:
        code, answer = _ask(control, "POST", "/reload", _ANSWER_SECONDS)
    except (OSError, http.client.HTTPException) as error:
        raise UnhealthyError(f"the gateway does not answer on {control}: {error}", hint=_SEE_LOG) from error
    if code == http.client.BAD_REQUEST:
        raise FormatError(f"the gateway refuses its routes: {_reason(answer)}", hint="modelctl apply")
    if code != http.client.OK:
        raise UnhealthyError(f"the gateway could not reload: {_reason(answer)} ({code})", hint=_SEE_LOG)
    return _own_status(control, answer)


def release(control: Path, models: Iterable[ModelId]) -> GatewayStatus:
    """Have requests for these models, as long as they have no backend, turned away with 503 at once.

    Until their routes change. It needs no snapshot, so it works where none can be written. Raises
    UnhealthyError when the gateway does not answer, or is of a release that cannot do it.
    """
    query = urlencode([("model", model) for model in models])
    try:
        code, answer = _ask(control, "POST", f"/release?{query}", _ANSWER_SECONDS)
    except (OSError, http.client.HTTPException) as error:
        raise UnhealthyError(f"the gateway does not answer on {control}: {error}", hint=_SEE_LOG) from error
    if code != http.client.OK:
        raise UnhealthyError(f"the gateway lets requests wait on: {_reason(answer)} ({code})", hint=_SEE_LOG)
    return _own_status(control, answer)


def wait_up(
    control: Path, *, deadline_seconds: float, alive: Callable[[], bool] = lambda: True
) -> GatewayStatus:
    """Wait until the gateway answers. Raises UnhealthyError after the deadline, or when `alive` says no."""
    start = asked_alive = time.monotonic()
    while (found := status(control)) is None:
        now = time.monotonic()
        if now - start >= deadline_seconds:
            raise UnhealthyError(
                f"the gateway does not answer on {control} after {deadline_seconds:g} s", hint=_SEE_LOG
            )
        if now - asked_alive >= _ALIVE_SECONDS:
            asked_alive = now
            if not alive():
                raise UnhealthyError("the gateway ended before it answered", hint=_SEE_LOG)
        time.sleep(_POLL_SECONDS)
    return found


def _own_status(control: Path, answer: Any) -> GatewayStatus:
    try:
        return _status(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnhealthyError(
            f"what listens on {control} is no gateway of this release: {error!r}", hint=_SEE_LOG
        ) from error


def _status(answer: Any) -> GatewayStatus:
    return GatewayStatus(
        pid=int(answer["pid"]),
        routes=parse_snapshot(answer).routes,
        refused={int(port): str(reason) for port, reason in answer["refused"].items()},
        backends={
            str(endpoint): BackendUse(int(use["requests"]), float(use["idle_seconds"]))
            for endpoint, use in answer["backends"].items()
        },
        released=frozenset(map(ModelId, answer.get("released", ()))),
    )


def _reason(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message")) if isinstance(error, dict) else "it says no more"


def _ask(control: Path, method: str, path: str, timeout: float) -> tuple[int, Any]:
    """Status and parsed JSON, None when the answer is none. Raises OSError and HTTPException."""
    with closing(SocketConnection(str(control), timeout)) as connection:
        connection.request(method, path, headers={"Connection": "close"})
        response = connection.getresponse()
        content = response.read()
    try:
        return response.status, json.loads(content)
    except ValueError:
        return response.status, None
