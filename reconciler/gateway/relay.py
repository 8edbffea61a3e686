"""One request for one model: find its backend, wait for it, send, and pass the answer on."""

import json
from contextlib import closing
from http import HTTPStatus

import aiohttp
from aiohttp import HttpVersion11, hdrs, web

from reconciler.core.endpoint import Endpoint
from reconciler.core.types import ModelId
from reconciler.gateway.answers import lost, refusal, unavailable
from reconciler.gateway.body import KeepingBudget, RequestBody
from reconciler.gateway.headers import request_headers
from reconciler.gateway.passing import pass_on
from reconciler.gateway.problems import Problems
from reconciler.gateway.table import CrowdedError, EndingError, Table, TimeIsUpError
from reconciler.gateway.upstream import LostError, NotConnectedError, Outgoing, Upstream

_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.010, 0.250
_LEAST_CONNECT_SECONDS = 1.0
"""What one try to connect gets, however little is left of the time to hold."""
_LOADING = {"code": 503, "message": "Loading model", "type": "unavailable_error"}
"""What llama-server answers to everything before its model is loaded."""
_LOADING_BYTES = 1024
"""An answer longer than this is another one."""


class _NotThereError(Exception):
    """The backend did not take the request: another try does no harm."""


class Relay:
    """Passes requests on to the backends of a table."""

    def __init__(self, table: Table, problems: Problems) -> None:
        self._table = table
        self._problems = problems
        self._upstreams: dict[Endpoint, Upstream] = {}
        self._budget = KeepingBudget()

    async def answer(self, request: web.BaseRequest, target: str, model: ModelId) -> web.StreamResponse:
        """Give the model's answer, or an error of ours; `target` is the path and query."""

        async def go_on() -> None:
            if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # an interim answer is none: aiohttp itself does so

        body = RequestBody(request.content, self._budget, go_on)
        outgoing = Outgoing(
            method=request.method,
            target=target,
            headers=request_headers(request.headers),
            chunks=body.chunks if request.body_exists else None,
        )
        try:
            return await self._tried(request, model, outgoing, body)
        finally:
            body.forget()

    async def forget_unused(self) -> None:
        """Let go of backends that the table knows no more."""
        known = self._table.uses()
        for endpoint in self._upstreams.keys() - known.keys():
            await self._upstreams.pop(endpoint).close()

    async def close(self) -> None:
        """Close every connection to a backend."""
        while self._upstreams:
            _, upstream = self._upstreams.popitem()
            await upstream.close()

    async def _tried(
        self, request: web.BaseRequest, model: ModelId, outgoing: Outgoing, body: RequestBody
    ) -> web.StreamResponse:
        """Try until a backend takes it. Each try asks anew which backend that is."""
        route = self._table.route(model)
        until = self._table.deadline(0.0 if route is None else route.hold_seconds)
        pause, reason = _FIRST_PAUSE_SECONDS, "it has no runtime now"
        while route is not None:
            if route.backend is not None:
                with self._table.use(route.backend):
                    try:
                        return await self._once(request, route.backend, outgoing, body, until)
                    except _NotThereError as error:
                        reason = str(error)
            elif model in self._table.released:
                self._problems.say((model, "released"), f"{model}: a request is turned away: {reason}")
                return unavailable(f"{model} is not available: {reason}")
            try:
                await self._table.wait(until, None if route.backend is None else pause)
            except TimeIsUpError:
                self._problems.say((model, "away"), f"{model}: a request waited in vain: {reason}")
                return unavailable(f"{model} is not available: {reason}")
            except CrowdedError:
                self._problems.say("crowded", f"{model}: too many requests wait already: {reason}")
                return unavailable(f"{model} is not available: {reason}, and too many requests wait already")
            except EndingError:
                return unavailable("the gateway ends")
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)
            route = self._table.route(model)
        return unavailable(f"{model} is not served here any more")

    async def _once(
        self,
        request: web.BaseRequest,
        backend: Endpoint,
        outgoing: Outgoing,
        body: RequestBody,
        until: float,
    ) -> web.StreamResponse:
        """Send it once; _NotThereError when it may be sent again."""
        upstream = self._upstreams.get(backend)
        if upstream is None:
            upstream = self._upstreams[backend] = Upstream(backend)
        try:
            found = await upstream.send(outgoing, max(self._table.left(until), _LEAST_CONNECT_SECONDS))
        except NotConnectedError as error:
            raise _NotThereError(f"{backend} does not take connections: {error}") from error
        except LostError as error:
            if body.failure is not None:
                return refusal(400, f"the body broke off: {body.failure}", "invalid_body")
            self._problems.say((backend, "lost"), f"{backend} lost a request: {error}")
            return lost(f"the model's runtime had the request and gave no answer: {error}")
        except ValueError as error:
            return refusal(400, f"this request cannot be passed on: {error}", "invalid_request")
        with closing(found):
            first = b""
            if body.replayable and _may_be_loading(found):
                try:
                    first = await found.read()
                except (aiohttp.ClientError, OSError) as error:
                    return lost(f"the model's runtime broke its answer off: {error}")
                if _is_loading(first):
                    raise _NotThereError(f"{backend} loads its model")
            body.forget()
            passed = await pass_on(request, found, first)
            if passed.broke is not None:
                self._problems.say((backend, "broke"), f"{backend} broke an answer off: {passed.broke}")
            return passed.response


def _may_be_loading(answer: aiohttp.ClientResponse) -> bool:
    length = answer.content_length
    return (
        answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        and length is not None
        and length <= _LOADING_BYTES
        and answer.content_type == "application/json"
    )


def _is_loading(content: bytes) -> bool:
    try:
        return bool(json.loads(content) == {"error": _LOADING})
    except ValueError:
        return False
