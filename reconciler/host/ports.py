"""Who listens on a TCP port of this machine."""

import errno
import socket


def holder(address: str, port: int) -> str | None:
    """None when `port` can be bound on `address`; otherwise who has it, as far as we may see.

    SO_REUSEADDR is set, as llama-server sets it, so that a connection in TIME_WAIT does not count.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _listener(port)
            return f"nobody, but it cannot be bound: {error.strerror}"
    return None


def _listener(port: int) -> str:
    import psutil  # noqa: PLC0415 - only a clash pays for it

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS tells root only
        return "another program"
    for connection in connections:
        address = tuple(connection.laddr)
        if connection.status == psutil.CONN_LISTEN and address[1:2] == (port,) and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                break
    return "another program"
