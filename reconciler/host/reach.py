"""Whether a server on the network can be reached at all."""

import socket

_SECONDS = 1.5


def why_unreachable(address: str, *, busy: bool = False) -> str | None:
    """Why nobody takes a TCP connection at `host:port`; None where somebody does.

    A server that is `busy` with its only client may let others wait, so that silence is no sign.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except TimeoutError:
        return None if busy else f"no answer within {_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None
