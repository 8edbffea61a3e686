"""XML-RPC over a UNIX socket, as supervisord speaks it."""

import http.client
import xmlrpc.client
from pathlib import Path
from typing import Any

from reconciler.host.socket_http import SocketConnection


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002 - the socket is the host
        return SocketConnection(str(self._path), self._timeout)


def call(path: Path, method: str, *arguments: Any, timeout: float) -> Any:
    """Call `method` of the server behind the socket.

    Raises OSError when nobody listens or the answer takes longer than `timeout` seconds, and
    `xmlrpc.client.Error` when the server refuses.
    """
    with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(path, timeout)) as server:
        return getattr(server, method)(*arguments)
