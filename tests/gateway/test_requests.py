"""Requests reach the backend as they were sent."""

import gzip
from contextlib import closing

import pytest

from tests.gateway.backends import Mirror, Peer, backend
from tests.gateway.process import Gateway

EXPECTING = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_goes_through(gateway: Gateway, mirror: Mirror, method: str) -> None:
    assert gateway.ask(method, "/v1/x").content == b"seen"
    [seen] = mirror.seen
    assert (seen.method, seen.target, seen.body) == (method, "/v1/x", b"")


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?",
        "/a%2Fb?c=%20d&c=e&f",
        "//x//y",
        "/a/../b",
        "/%zz?%",
        "/x?y=http://z@w:1/#",
    ],
)
def test_a_target_is_passed_as_it_was_written(gateway: Gateway, mirror: Mirror, target: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert gateway.speak(head.encode()).endswith(b"seen")
    [seen] = mirror.seen
    assert seen.target == target.removesuffix("#").removesuffix("?")


def test_the_form_for_proxies_is_understood(gateway: Gateway, mirror: Mirror) -> None:
    head = b"GET http://localhost:1/x?y HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert gateway.speak(head).endswith(b"seen")
    assert mirror.seen[0].target == "/x?y"


def test_headers_go_through_and_those_of_the_connection_do_not(gateway: Gateway, mirror: Mirror) -> None:
    headers = {
        "Authorization": "Bearer x",
        "Accept-Encoding": "br",
        "Content-Encoding": "gzip",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "X-Own": "caf\xe9",
    }
    gateway.ask("POST", "/", gzip.compress(b"not to be unpacked"), headers)
    [seen] = mirror.seen
    assert gzip.decompress(seen.body) == b"not to be unpacked"
    content = seen.headers.pop("content-length")
    assert int(content) == len(seen.body)
    assert seen.headers == {
        "host": f"127.0.0.1:{gateway.port}",
        "authorization": "Bearer x",
        "accept-encoding": "br",
        "content-encoding": "gzip",
        "x-own": "caf\xe9".encode().decode("latin-1"),
        "connection": "close",
    }


def test_a_chunked_body_arrives_whole(gateway: Gateway, mirror: Mirror) -> None:
    assert gateway.ask("POST", "/", iter([b"one ", b"two ", b"three"]), encode_chunked=True).status == 200
    assert mirror.seen[0].body == b"one two three"


def test_a_client_that_expects_to_be_told_is_told(gateway: Gateway, mirror: Mirror) -> None:
    with closing(gateway.dial()) as client:
        client.sendall(EXPECTING)
        file = client.makefile("rb")
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert file.readline() == b"\r\n"
        client.sendall(b"body")
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        assert file.read().endswith(b"seen")
    assert mirror.seen[0].body == b"body"
    assert "expect" not in mirror.seen[0].headers


def test_a_client_that_expects_is_not_told_when_there_is_no_backend(gateway: Gateway) -> None:
    gateway.route(None, hold_seconds=0)
    with closing(gateway.dial()) as client:
        client.sendall(EXPECTING)
        assert client.makefile("rb").readline() == b"HTTP/1.1 503 Service Unavailable\r\n"


def test_other_expectations_are_not_met(gateway: Gateway, mirror: Mirror) -> None:
    assert gateway.ask(headers={"Expect": "the-unexpected"}).error() == (417, "unknown_expectation")


def test_requests_in_a_row_are_answered_in_a_row(gateway: Gateway) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())

    heads = [f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n" for number in range(10)]
    with backend(gateway.folder / "a.sock", script) as running:
        gateway.route(running.endpoint)
        content = gateway.speak(("\r\n".join(heads) + "Connection: close\r\n\r\n").encode())
    assert [int(part[:1]) for part in content.split(b"\r\n\r\n/")[1:]] == list(range(10))


def test_one_connection_of_a_client_serves_many_requests(gateway: Gateway, mirror: Mirror) -> None:
    with closing(gateway.connection()) as client:
        client.connect()
        sock = client.sock
        for number in range(3):
            client.request("POST", "/", b"x" * number)
            assert client.getresponse().read() == b"seen"
        assert client.sock is sock
    assert [len(seen.body) for seen in mirror.seen] == [0, 1, 2]
