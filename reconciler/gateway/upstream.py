"""The client's side of the gateway: one request on one new connection to one backend."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from reconciler.core.endpoint import Endpoint, SocketEndpoint

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

_NO_LIMITS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class NotConnectedError(aiohttp.ClientConnectionError):
    """There is no connection, and so not a byte was sent."""


class LostError(Exception):
    """The backend may have had the request, and gave no answer that can be read."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the backend gets it."""

    method: str
    target: str
    """Path and query as the client wrote them; begins with a slash."""
    headers: CIMultiDict[str]
    chunks: Callable[[], AsyncIterator[bytes]] | None
    """The body from its first byte; None for a request without one."""


class Upstream:
    """A backend. Connections are never used twice: a kept one may be dying when the next request is sent."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(endpoint),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=_NO_LIMITS,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            middlewares=(_sent_once,),
        )

    async def send(self, outgoing: Outgoing, connect_seconds: float) -> aiohttp.ClientResponse:
        """The head of the answer, its body still to be read; the caller closes it.

        Raises NotConnectedError when there is no connection within `connect_seconds`, LostError when there
        was one, ValueError when the request cannot be written down as HTTP.
        """
        return await self._session.request(
            outgoing.method,
            URL(f"http://localhost{outgoing.target}", encoded=True),
            headers=outgoing.headers,
            data=None if outgoing.chunks is None else outgoing.chunks(),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        )

    async def close(self) -> None:
        await self._session.close()


async def _sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Without this, aiohttp sends GET, PUT and DELETE again when a connection breaks."""
    try:
        return await handler(request)
    except NotConnectedError:
        raise
    except (aiohttp.ClientError, OSError) as error:
        raise LostError(str(error) or type(error).__name__) from error


class _Connector(aiohttp.BaseConnector):
    """Connects to one endpoint, whatever the URL says."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(force_close=True, limit=0)
        self._endpoint = endpoint

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,  # noqa: ARG002 - as aiohttp's connectors have it, and the next two
        traces: list[Any],  # noqa: ARG002
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> "ResponseHandler":
        try:
            async with asyncio.timeout(timeout.sock_connect):
                return await self._connected()
        except OSError as error:
            raise NotConnectedError(str(error) or type(error).__name__) from error

    async def _connected(self) -> "ResponseHandler":
        if isinstance(self._endpoint, SocketEndpoint):
            sock = _connected_socket(self._endpoint.path)
            _, protocol = await self._loop.create_unix_connection(self._factory, sock=sock)
        else:
            _, protocol = await self._loop.create_connection(
                self._factory, self._endpoint.host, self._endpoint.port
            )
        return protocol


def _connected_socket(path: str) -> socket.socket:
    """A connection to a UNIX socket, which is there at once or not at all.

    asyncio takes the EAGAIN of a full queue of connections for the beginning of one, and finds only when it
    writes that there is none.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock
