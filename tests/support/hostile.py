"""Ways in which the hub of `hub.py` misbehaves: set one as `hub.intercept`.

Each answers for the bytes of a file (the "CDN") unless its name says otherwise; metadata stays honest, as a
hostile or broken server between us and the file would leave it.
"""

import functools
import gzip
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.support.hub import Handler, Intercept, Stored

_DRIP_SECONDS = 0.05
_NO_LINGER = struct.pack("ii", 1, 0)


def for_bytes(behave: Callable[[Handler, Stored], object]) -> Intercept:
    """Misbehave only where the bytes of a file are asked for."""

    @functools.wraps(behave)
    def intercept(handler: Handler) -> bool:
        stored = handler.stored() if handler.path.startswith("/cdn/") else None
        if stored is None:
            return False
        return behave(handler, stored) is not False

    return intercept


def first(times: int, behave: Intercept) -> Intercept:
    """Misbehave only the first so many times."""
    lock, count = threading.Lock(), itertools.count()

    def intercept(handler: Handler) -> bool:
        if not handler.path.startswith("/cdn/"):
            return False
        with lock:
            if next(count) >= times:
                return False
        return behave(handler)

    return intercept


def status(code: int, headers: dict[str, str] | None = None) -> Intercept:
    """An error instead of bytes."""
    return for_bytes(lambda handler, _: handler.answer(code, headers, b"go away"))


def everywhere(code: int) -> Intercept:
    """An error for every request, the hub's own answers included."""

    def intercept(handler: Handler) -> bool:
        handler.answer(code)
        return True

    return intercept


def reset_after(size: int) -> Intercept:
    """Break the connection (RST) after so many bytes of each answer."""

    def behave(handler: Handler, stored: Stored) -> None:
        start, end = _begin(handler, stored)
        handler.send(stored, start, min(start + size, end))
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        os.close(handler.connection.detach())

    return for_bytes(behave)


def slow(rate: int) -> Intercept:
    """An honest answer at so many bytes a second and connection."""

    def behave(handler: Handler, stored: Stored) -> None:
        start, end = _begin(handler, stored)
        step = int(rate * _DRIP_SECONDS)
        for position in range(start, end, step):
            handler.send(stored, position, min(position + step, end))
            time.sleep(_DRIP_SECONDS)

    return for_bytes(behave)


@for_bytes
def drip(handler: Handler, stored: Stored) -> None:
    """A byte now and then, for ever: no timeout of a socket ever strikes."""
    start, end = _begin(handler, stored)
    for position in range(start, end):
        handler.send(stored, position, position + 1)
        time.sleep(_DRIP_SECONDS)


@for_bytes
def drip_header(handler: Handler, _stored: Stored) -> None:
    """A header line now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\n")
    for number in itertools.count():
        handler.wfile.write(f"X-{number}: later\r\n".encode())
        time.sleep(_DRIP_SECONDS)


@for_bytes
def silence(handler: Handler, _stored: Stored) -> None:
    """Take the request and say nothing until the client goes away."""
    handler.connection.recv(1)


@for_bytes
def stop_early(handler: Handler, stored: Stored) -> None:
    """Promise a part and close after half of it."""
    start, end = _begin(handler, stored)
    handler.send(stored, start, start + (end - start) // 2)
    handler.close_connection = True


@for_bytes
def promise_too_much(handler: Handler, stored: Stored) -> None:
    """A Content-Length that is larger than the range that it goes with."""
    start, end = handler.range(stored.size) or (0, stored.size)
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{stored.size}")
    handler.send_header("Content-Length", str(end - start + 7))
    handler.end_headers()
    handler.send(stored, start, end)
    handler.close_connection = True


@for_bytes
def ignore_ranges(handler: Handler, stored: Stored) -> None:
    """200 and everything, whatever was asked."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(stored.size))
    handler.end_headers()
    handler.send(stored, 0, stored.size)


@for_bytes
def shift_ranges(handler: Handler, stored: Stored) -> None:
    """206 with another range than was asked for."""
    start, end = handler.range(stored.size) or (0, stored.size)
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start + 1}-{end}/{stored.size + 1}")
    handler.send_header("Content-Length", str(end - start))
    handler.end_headers()
    handler.send(stored, start, end)


def change_etag() -> Intercept:
    """Another ETag with every answer, as when the file is replaced all the time."""
    count = itertools.count()

    def behave(handler: Handler, stored: Stored) -> None:
        start, end = handler.range(stored.size) or (0, stored.size)
        handler.send_response(206)
        handler.send_header("ETag", f'"{next(count)}"')
        handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{stored.size}")
        handler.send_header("Content-Length", str(end - start))
        handler.end_headers()
        handler.send(stored, start, end)

    return for_bytes(behave)


@for_bytes
def redirect_loop(handler: Handler, _stored: Stored) -> None:
    handler.answer(302, {"Location": handler.path})


def redirect_to(url: str) -> Intercept:
    """Send everyone who wants bytes elsewhere; `{port}` in the address is the hub's own."""
    return for_bytes(lambda handler, _: handler.answer(302, {"Location": url.format(port=handler.hub.port)}))


@for_bytes
def detour(handler: Handler, _stored: Stored) -> bool:
    """A further redirect on the way."""
    if "detour" in handler.path:
        return False
    handler.answer(307, {"Location": f"{handler.path}&detour=1"})
    return True


@for_bytes
def compress(handler: Handler, stored: Stored) -> None:
    """A gzip body, though identity was asked for."""
    assert isinstance(stored.content, bytes)
    handler.answer(200, {"Content-Encoding": "gzip"}, gzip.compress(stored.content, 1))


@for_bytes
def empty(handler: Handler, _stored: Stored) -> None:
    handler.answer(200, {"ETag": '"empty"'})


@for_bytes
def hide_length(handler: Handler, stored: Stored) -> None:
    """The end of the connection is the end of the file."""
    handler.send_response(200)
    handler.end_headers()
    handler.send(stored, 0, stored.size)
    handler.close_connection = True


@for_bytes
def chunk(handler: Handler, stored: Stored) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    assert isinstance(stored.content, bytes)
    handler.wfile.write(f"{stored.size:x}\r\n".encode() + stored.content + b"\r\n0\r\n\r\n")


@for_bytes
def other_bytes(handler: Handler, stored: Stored) -> None:
    """The right length, the right headers, the wrong bytes."""
    assert isinstance(stored.content, bytes)
    handler.body(Stored(stored.content[:-1] + b"!", stored.sha256, lfs=True), {"ETag": '"same"'})


@for_bytes
def other_length(handler: Handler, stored: Stored) -> None:
    """A longer file than the hub promised."""
    assert isinstance(stored.content, bytes)
    handler.body(Stored(stored.content + b"!", stored.sha256, lfs=True), {"ETag": '"same"'})


@for_bytes
def login_page(handler: Handler, _stored: Stored) -> None:
    page = b"<!DOCTYPE html><title>Log in to the guest network</title>"
    handler.answer(200, {"Content-Type": "text/html"}, page)


def _begin(handler: Handler, stored: Stored) -> tuple[int, int]:
    """The head of an honest answer."""
    start, end = handler.range(stored.size) or (0, stored.size)
    handler.send_response(206)
    handler.send_header("ETag", f'"{stored.sha256}"')
    handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{stored.size}")
    handler.send_header("Content-Length", str(end - start))
    handler.end_headers()
    return start, end
