"""The control socket: how modelctl talks to the gateway (`reconciler.host.gateway` is the other end)."""

import asyncio
import fcntl
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from reconciler.core.errors import FormatError, Refused
from reconciler.core.types import ModelId
from reconciler.gateway.answers import refusal

Document = dict[str, Any]
_BACKLOG = 64
_PROBE_SECONDS = 5.0


class Control:
    """Answers `GET /health`, `GET /routes`, `POST /reload` and `POST /release` on a UNIX socket.

    `status` gives what `/routes` tells; `reload` raises FormatError for a snapshot that is not taken;
    `release` turns away who waits for some models.
    """

    def __init__(
        self,
        path: Path,
        status: Callable[[], Document],
        reload: Callable[[], Awaitable[None]],
        release: Callable[[Iterable[ModelId]], None],
    ) -> None:
        self._path = path
        self._status = status
        self._reload = reload
        self._release = release
        self._socket = _claim(path)
        self._inode = path.stat().st_ino
        self._server = web.Server(self._answer, access_log=None)
        self._accepting: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer from now on; who connected before was waiting."""
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_unix_server(self._server, sock=self._socket, backlog=_BACKLOG)

    def close(self) -> None:
        """Answer no more, and leave no socket behind, unless it is another gateway's by now."""
        if self._accepting is not None:
            self._accepting.close()
        self._server.pre_shutdown()
        self._socket.close()
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            return

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/health":
                return _document({"status": "ok"})
            case "GET", "/routes":
                return _document(self._status())
            case "POST", "/reload":
                try:
                    await self._reload()
                except FormatError as error:
                    return refusal(400, error.what, "invalid_snapshot")
                return _document(self._status())
            case "POST", "/release":
                self._release(map(ModelId, request.query.getall("model", [])))
                return _document(self._status())
        return refusal(
            404, "there is GET /health, GET /routes, POST /reload and POST /release?model=…", "not_found"
        )


def _document(content: Document) -> web.Response:
    return web.Response(body=json.dumps(content), content_type="application/json")


def _claim(path: Path) -> socket.socket:
    """A listening socket at `path` for this user alone. Raises Refused when another process has it.

    A socket file that nobody listens on is left from a gateway that was killed, and makes way.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone_in(path.parent):
        _make_way(path)
        return _listen(path)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Of two gateways that start at once, the second looks when the first one listens."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_way(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Refused(f"{path} is in the way: it is no socket", hint=f"rm {path}")
        if _is_live(path):
            raise Refused(f"another gateway listens on {path}", hint=f"see who has it: lsof {path}")
        path.unlink()
    except FileNotFoundError:
        return


def _listen(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)  # before it listens: nobody can have connected yet
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _is_live(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (TimeoutError, BlockingIOError):
            return True  # a full queue of connections is load, not death
        except OSError:
            return False
    return True
