"""The loopback ports of the gateway."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

from aiohttp import web

Handler = Callable[[web.BaseRequest, int], Awaitable[web.StreamResponse]]
"""Answers a request that came on a port."""

_ADDRESS = "127.0.0.1"
_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 3600.0
"""Longer than any client keeps one, so that the client is who closes and no request meets a closed door."""
_CUT_SECONDS = 0.1
_LAST_CALL_SECONDS = 0.05
_SETTLED_SECONDS = 0.01
"""What a request needs at most from its last byte of head until it counts as busy."""


class _Listener:
    """One port, and the connections that came through it."""

    def __init__(self, port: int, handler: Handler) -> None:
        self._port = port
        self._handler = handler
        self._busy: set[web.RequestHandler] = set()
        self._accepting: asyncio.Server | None = None
        self._server = web.Server(
            self._answer,
            handler_cancellation=True,  # a client that left stops its model
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
        )

    @property
    def connections(self) -> int:
        return len(self._server.connections)

    async def open(self) -> None:
        """Raises OSError when the port cannot be had."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((_ADDRESS, self._port))
            loop = asyncio.get_running_loop()
            self._accepting = await loop.create_server(self._server, sock=sock, backlog=_BACKLOG)
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Accept no more; connections end when they have answered what they are at."""
        if self._accepting is not None:
            self._accepting.close()
        loop = asyncio.get_running_loop()
        # Requests that are on their way in are still taken. Then aiohttp stops listening to connections, but
        # leaves idle ones open, whose clients would wait for ever.
        loop.call_later(_LAST_CALL_SECONDS, self._server.pre_shutdown)
        loop.call_later(_LAST_CALL_SECONDS + _SETTLED_SECONDS, self._close_idle)

    async def cut(self) -> None:
        """End what is left."""
        await self._server.shutdown(_CUT_SECONDS)

    def _close_idle(self) -> None:
        for connection in self._server.connections:
            if connection not in self._busy:
                connection.force_close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy.add(request.protocol)
        try:
            return await self._handler(request, self._port)
        finally:
            self._busy.discard(request.protocol)


class Listeners:
    """Opens and closes ports; a closed one's connections finish in their own time."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._open: dict[int, _Listener] = {}
        self._leaving: list[_Listener] = []
        self.refused: dict[int, str] = {}
        """Ports that could not be opened at the last `set`, and why."""

    @property
    def ports(self) -> AbstractSet[int]:
        return self._open.keys()

    @property
    def connections(self) -> int:
        """On open and on closed ports."""
        return sum(listener.connections for listener in (*self._open.values(), *self._leaving))

    async def set(self, ports: AbstractSet[int]) -> None:
        """Listen on exactly these, as far as they can be had."""
        self._leaving = [listener for listener in self._leaving if listener.connections]
        for port in self._open.keys() - ports:
            self._close(port)
        self.refused = {}
        for port in sorted(ports - self._open.keys()):
            listener = _Listener(port, self._handler)
            try:
                await listener.open()
            except OSError as error:
                self.refused[port] = error.strerror or str(error)
            else:
                self._open[port] = listener

    def close(self) -> None:
        """Accept no more on any port."""
        for port in tuple(self._open):
            self._close(port)

    async def cut(self) -> None:
        """End what is left of the connections of closed ports."""
        for listener in self._leaving:
            await listener.cut()
        self._leaving.clear()

    def _close(self, port: int) -> None:
        listener = self._open.pop(port)
        listener.close()
        self._leaving.append(listener)
