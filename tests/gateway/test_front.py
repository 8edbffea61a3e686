"""What is refused before any backend hears of it."""

import socket
from contextlib import closing

import pytest

from tests.gateway.backends import Mirror
from tests.gateway.process import Gateway


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Host": "evil.example"}, (403, "host_not_allowed")),
        ({"Origin": "http://evil.example"}, (403, "origin_not_allowed")),
        ({"Origin": "null"}, (403, "origin_not_allowed")),
        ({"Upgrade": "websocket", "Connection": "Upgrade"}, (501, "not_implemented")),
    ],
)
def test_what_is_not_allowed_or_not_done(
    gateway: Gateway, mirror: Mirror, headers: dict[str, str], error: tuple[int, str]
) -> None:
    assert gateway.ask(headers=headers).error() == error
    assert mirror.seen == []


def test_a_page_of_this_machine_may_ask(gateway: Gateway, mirror: Mirror) -> None:
    origin = f"http://localhost:{gateway.port}"
    assert gateway.ask(headers={"Host": "localhost", "Origin": origin}).status == 200
    assert mirror.seen[0].headers["origin"] == origin


def test_a_tunnel_is_not_dug(gateway: Gateway, mirror: Mirror) -> None:
    with closing(gateway.dial()) as client:
        client.sendall(b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\nSSH-2.0")
        # Older releases of aiohttp close where newer ones still send the 501.
        assert client.makefile("rb").readline() in {b"HTTP/1.1 501 Not Implemented\r\n", b""}
    assert mirror.seen == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_reaches_nobody(
    gateway: Gateway, mirror: Mirror, garbage: bytes
) -> None:
    with closing(gateway.dial()) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        assert b"200" not in client.makefile("rb").readline()
    assert mirror.seen == []
    assert gateway.ask().content == b"seen"
    assert gateway.log == ""
