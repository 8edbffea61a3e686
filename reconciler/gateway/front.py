"""What every request meets first: is it allowed, can we do it, which model does it want."""

import re
from collections.abc import Sequence

from aiohttp import hdrs, web

from reconciler.gateway.answers import refusal, unavailable
from reconciler.gateway.guard import host_refusal, origin_refusal
from reconciler.gateway.relay import Relay
from reconciler.gateway.table import Table

_ABSOLUTE = re.compile(r"https?://(?P<authority>[^/?#]*)(?P<target>.*)", re.IGNORECASE)
_CONTINUE = "100-continue"


class Front:
    """The handler of all listeners."""

    def __init__(self, table: Table, relay: Relay) -> None:
        self._table = table
        self._relay = relay

    async def handle(self, request: web.BaseRequest, port: int) -> web.StreamResponse:
        """Answer one request that came on `port`."""
        target, hosts = request.raw_path, request.headers.getall(hdrs.HOST, [])
        # RFC 9112, 3.2.2: a server takes the form meant for proxies too, and what it says goes before Host.
        if absolute := _ABSOLUTE.fullmatch(target):
            target, hosts = f"/{absolute['target'].removeprefix('/')}", [absolute["authority"]]
        if refused := _forbidden(request, hosts) or _impossible(request, target):
            return refused
        model = self._table.model_on(port)
        if model is None:
            return unavailable(f"no model is served on port {port} any more")
        return await self._relay.answer(request, target, model)


def _forbidden(request: web.BaseRequest, hosts: Sequence[str]) -> web.Response | None:
    if reason := host_refusal(hosts):
        return refusal(403, reason, "host_not_allowed")
    if reason := origin_refusal(request.headers.getall(hdrs.ORIGIN, [])):
        return refusal(403, reason, "origin_not_allowed")
    return None


def _impossible(request: web.BaseRequest, target: str) -> web.Response | None:
    upgrade = request.headers.get(hdrs.UPGRADE, "").lower()
    if upgrade == "websocket" or request.method == hdrs.METH_CONNECT:
        response = refusal(501, "the gateway passes no WebSockets and no tunnels on", "not_implemented")
        response.force_close()  # what follows on such a connection need not be HTTP
        return response
    if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() != _CONTINUE:
        return refusal(417, f"the gateway meets no other expectation than {_CONTINUE}", "unknown_expectation")
    if not target.startswith("/"):
        return refusal(400, f"{target!r} is no path", "invalid_request")
    return None
