"""Whether a runtime answers: one look, a token as proof, and waiting for both."""

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.core.endpoint import Endpoint, SocketEndpoint
from reconciler.core.errors import UnhealthyError
from reconciler.host.socket_http import SocketConnection

_FIRST_POLL_SECONDS, _LAST_POLL_SECONDS = 0.010, 0.025
_SLOWER_AFTER_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_ALIVE_SECONDS = 0.25
"""How often `alive` is asked: it may be a call to the supervisor, dearer than a look at the port."""
_PROOF_SECONDS = 10.0
"""What the proof gets at least, however late the model was loaded."""


class Health(StrEnum):
    """What one look at an endpoint shows."""

    READY = "ready"
    LOADING = "loading"
    SILENT = "silent"
    """Nothing listens, or it does not answer."""
    FOREIGN = "foreign"
    """Something listens that is no llama-server."""


@dataclass(frozen=True, slots=True)
class ReadyReport:
    """Seconds from the call of `wait_ready` until it listened, was loaded, and had given a token."""

    listening_seconds: float
    loaded_seconds: float
    answered_seconds: float


def look(endpoint: Endpoint, *, timeout: float = _LOOK_SECONDS) -> Health:
    """One `GET /health`; takes at most `timeout` seconds and raises nothing."""
    try:
        status, answer = ask(endpoint, "GET", "/health", timeout=timeout)
    except OSError:
        return Health.SILENT
    except http.client.HTTPException:
        return Health.FOREIGN
    return _judge(status, answer)


def wait_ready(
    endpoint: Endpoint,
    *,
    deadline_seconds: float,
    alive: Callable[[], bool] = lambda: True,
    alias: str | None = None,
    embedding: bool = False,
    api_key: str | None = None,
) -> ReadyReport:
    """Wait until the model is loaded, and prove it by one token or one embedding.

    `alias` is a name that the server must have, so that a stranger on the port is not taken for ours.
    `alive` says whether the runtime still runs or will be started again. Raises UnhealthyError when it ends,
    when a stranger answers, when the proof fails, or after `deadline_seconds`.
    """
    start = time.monotonic()
    listening: float | None = None
    asked_alive = start
    while (health := look(endpoint)) is not Health.READY:
        now = time.monotonic()
        if health is Health.FOREIGN:
            raise UnhealthyError(
                f"something else than llama-server listens on {endpoint}", hint=_holder_hint(endpoint)
            )
        if health is Health.LOADING and listening is None:
            listening = now - start
        if now - start >= deadline_seconds:
            raise _late(endpoint, health, deadline_seconds)
        if now - asked_alive >= _ALIVE_SECONDS:
            asked_alive = now
            if not alive():
                raise UnhealthyError(f"it ended before it was ready on {endpoint}", hint="see its log")
        time.sleep(_FIRST_POLL_SECONDS if now - start < _SLOWER_AFTER_SECONDS else _LAST_POLL_SECONDS)
    loaded = time.monotonic() - start
    if alias is not None:
        _check_alias(endpoint, alias, api_key)
    prove(
        endpoint,
        timeout=max(deadline_seconds - loaded, _PROOF_SECONDS),
        embedding=embedding,
        api_key=api_key,
    )
    return ReadyReport(loaded if listening is None else listening, loaded, time.monotonic() - start)


def prove(endpoint: Endpoint, *, timeout: float, embedding: bool = False, api_key: str | None = None) -> None:
    """Have one token made, or one embedding. Raises UnhealthyError when none comes within `timeout` seconds.

    `/health` says 200 even when inference is wedged; this is the proof that it is not.
    """
    path, body = "/completion", {"prompt": "Hi", "n_predict": 1, "cache_prompt": False}
    if embedding:
        path, body = "/embedding", {"content": "Hi"}
    try:
        status, answer = ask(endpoint, "POST", path, timeout=timeout, body=body, api_key=api_key)
    except TimeoutError as error:
        raise UnhealthyError(
            f"{endpoint} is loaded but made no token in {timeout:.0f} s", hint="see its log"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnhealthyError(f"{endpoint} went away when asked for a token", hint="see its log") from error
    if status != http.client.OK:
        raise UnhealthyError(f"{endpoint} cannot make a token: {_reason(status, answer)}", hint="see its log")


def _check_alias(endpoint: Endpoint, alias: str, api_key: str | None) -> None:
    try:
        status, answer = ask(endpoint, "GET", "/v1/models", timeout=_LOOK_SECONDS, api_key=api_key)
    except (OSError, http.client.HTTPException) as error:
        raise UnhealthyError(f"{endpoint} went away when asked for its name", hint="see its log") from error
    if status != http.client.OK:
        raise UnhealthyError(
            f"{endpoint} does not tell its name: {_reason(status, answer)}", hint=_holder_hint(endpoint)
        )
    names = _names(answer)
    if alias not in names:
        said = ", ".join(sorted(names)) or "nothing"
        raise UnhealthyError(
            f"another llama-server listens on {endpoint}: it serves {said}, not {alias}",
            hint=_holder_hint(endpoint),
        )


def _names(answer: Any) -> set[str]:
    """Ids and aliases of `/v1/models`; builds without `aliases` have all of them in the id."""
    models = answer.get("data") if isinstance(answer, dict) else None
    names: set[str] = set()
    for model in models if isinstance(models, list) else ():
        names |= {name.strip() for name in str(model.get("id", "")).split(",")}
        names |= {str(name) for name in model.get("aliases") or ()}
    return names


def _judge(status: int, answer: Any) -> Health:
    if status == http.client.OK and isinstance(answer, dict) and answer.get("status") == "ok":
        return Health.READY
    error = answer.get("error") if isinstance(answer, dict) else None
    if status == http.client.SERVICE_UNAVAILABLE and isinstance(error, dict):
        return Health.LOADING
    return Health.FOREIGN


def _late(endpoint: Endpoint, health: Health, deadline_seconds: float) -> UnhealthyError:
    if health is Health.LOADING:
        what = f"{endpoint} still loads its model after {deadline_seconds:g} s"
        return UnhealthyError(what, hint="raise the model's `ready_timeout`, or see its log")
    return UnhealthyError(f"nothing answers on {endpoint} after {deadline_seconds:g} s", hint="see its log")


def _holder_hint(endpoint: Endpoint) -> str:
    if isinstance(endpoint, SocketEndpoint):
        return f"see who has it: lsof {endpoint.path}"
    return f"see who has it: ss -ltnp 'sport = :{endpoint.port}', or choose another port"


def _reason(status: int, answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return f"{message} ({status})" if message else f"status {status}"


def ask(
    endpoint: Endpoint,
    method: str,
    path: str,
    *,
    timeout: float,
    body: dict[str, Any] | None = None,
    api_key: str | None = None,
) -> tuple[int, Any]:
    """Status and parsed JSON, None when the answer is none. Raises OSError and HTTPException."""
    headers = {"Connection": "close"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    connection = _connection(endpoint, timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    try:
        return response.status, json.loads(content)
    except ValueError:
        return response.status, None


def _connection(endpoint: Endpoint, timeout: float) -> http.client.HTTPConnection:
    if isinstance(endpoint, SocketEndpoint):
        return SocketConnection(endpoint.path, timeout)
    return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)
