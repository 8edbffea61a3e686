"""HTTP over a UNIX socket, for `http.client` and what is built on it."""

import http.client
import socket


class SocketConnection(http.client.HTTPConnection):
    """A connection to the server that listens at `path`; the Host header says localhost."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
