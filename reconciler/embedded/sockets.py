"""UNIX socket files around llama.cpp, which neither removes the one it made nor reuses one that is there."""

import socket
import stat
from collections.abc import Iterable
from pathlib import Path

_CONNECT_SECONDS = 5.0


class SocketTakenError(Exception):
    """Something that is not ours to remove is in the way."""


def listens(address: str) -> bool:
    """Whether a connection to `unix://path` or `http://host:port` is accepted, or at least queued."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    try:
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_CONNECT_SECONDS)
                probe.connect(rest)
        else:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (TimeoutError, BlockingIOError):
        return True  # A full queue of connections is load, not death.
    except OSError:
        return False
    return True


def remove_stale(path: Path) -> None:
    """Make way for a new listener. Raises SocketTakenError when a server answers, or it is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketTakenError(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    if listens(f"unix://{path}"):
        raise SocketTakenError(f"another server listens on {path}")
    path.unlink(missing_ok=True)


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
