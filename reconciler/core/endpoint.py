"""Where a runtime listens, and how that is written down."""

from dataclasses import dataclass

_SOCKET = "unix://"


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """An address and a port; written `http://127.0.0.1:8601`."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SocketEndpoint:
    """The absolute path of a UNIX socket; written `unix:///run/modelctl/a.sock`."""

    path: str

    def __str__(self) -> str:
        return f"{_SOCKET}{self.path}"


Endpoint = TcpEndpoint | SocketEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """Read what `str` of an endpoint gives; ValueError for anything else."""
    if text.startswith(f"{_SOCKET}/"):
        return SocketEndpoint(text.removeprefix(_SOCKET))
    scheme, _, address = text.partition("://")
    host, colon, port = address.rpartition(":")
    if scheme == "http" and host and colon and port.isdecimal():
        return TcpEndpoint(host.removeprefix("[").removesuffix("]"), int(port))
    raise ValueError(f"{text!r} is neither http://address:port nor unix:///path")
