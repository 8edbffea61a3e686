"""Backends that do what no llama-server would, told by a script per connection."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.endpoint import SocketEndpoint

LOADING = b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'


@dataclass(frozen=True)
class Seen:
    """A request as the backend got it; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The backend's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._file = sock.makefile("rb")

    def head(self) -> tuple[str, str, dict[str, str]]:
        """Method, target and headers; EOFError when nothing comes."""
        first = self._file.readline().decode("latin-1").split()
        if not first:
            raise EOFError
        headers = {}
        while line := self._file.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first[0], first[1], headers

    def body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._file.read(int(headers.get("content-length", 0)))
        chunks = []
        while size := int(self._file.readline(), 16):
            chunks.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return b"".join(chunks)

    def request(self) -> Seen:
        method, target, headers = self.head()
        return Seen(method, target, headers, self.body(headers))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, content: bytes, status: str = "200 OK", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + content)

    def stream(self, *headers: str) -> None:
        """Begin an answer in chunks."""
        self.send("\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def gone(self) -> bool:
        """Whether the gateway closes this connection; waits for it."""
        with suppress(ConnectionError):
            return self.socket.recv(1) == b""
        return True


Script = Callable[[Peer], object]


class Backend:
    """Listens on a UNIX socket; each connection runs the script in a thread of its own."""

    def __init__(self, path: Path, script: Script, backlog: int = 128) -> None:
        self.endpoint = SocketEndpoint(str(path))
        self.script = script
        self.connections = 0
        self.errors: list[Exception] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(backlog)

    def run(self) -> None:
        """Accept until closed."""
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(30)
            try:
                self.script(Peer(sock))
            except (OSError, EOFError, ValueError) as error:
                self.errors.append(error)


@contextmanager
def backend(path: Path, script: Script, *, accepting: bool = True, backlog: int = 128) -> Iterator[Backend]:
    """A backend for the length of the block. Not `accepting`, its queue of connections fills."""
    running = Backend(path, script, backlog)
    if accepting:
        threading.Thread(target=running.run, daemon=True).start()
    try:
        yield running
    finally:
        running.close()


def says(content: bytes, status: str = "200 OK", *headers: str) -> Script:
    """Reads a request and answers it so."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(content, status, *headers)

    return script


class Mirror:
    """A backend that keeps what it saw and answers with one word."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def __call__(self, peer: Peer) -> None:
        self.seen.append(peer.request())
        peer.answer(b"seen")
