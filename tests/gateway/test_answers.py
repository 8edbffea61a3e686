"""Answers reach the client as they were given, and as they come."""

import gzip
import hashlib
import threading
from contextlib import closing

import pytest

from tests.gateway.backends import Peer, backend, says
from tests.gateway.process import Gateway


def test_an_answer_is_passed_piece_by_piece(gateway: Gateway) -> None:
    got = threading.Semaphore(0)

    def events(peer: Peer) -> None:
        peer.request()
        peer.stream("Content-Type: text/event-stream")
        for number in range(3):
            assert got.acquire(timeout=20)
            peer.chunk(f"data: {number}\n\n".encode())
        peer.chunk(b"")

    with backend(gateway.folder / "a.sock", events) as running, closing(gateway.connection()) as client:
        gateway.route(running.endpoint)
        client.request("GET", "/")
        response = client.getresponse()  # the head alone, before there is any event
        assert response.headers["Content-Type"] == "text/event-stream"
        for number in range(3):
            got.release()
            assert response.read1(100) == f"data: {number}\n\n".encode()
        assert response.read() == b""
        assert not running.errors


def test_a_packed_answer_stays_packed(gateway: Gateway) -> None:
    packed = gzip.compress(b"packed")
    headers = (
        "Content-Encoding: gzip",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Keep-Alive: timeout=5",
        "X-A: b",
    )
    with backend(gateway.folder / "a.sock", says(packed, "200 Fine", *headers)) as running:
        gateway.route(running.endpoint)
        with closing(gateway.connection()) as client:
            client.request("GET", "/")
            response = client.getresponse()
            assert response.reason == "Fine"
            assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
            assert response.headers["X-A"] == "b"
            assert response.headers["Keep-Alive"] is None
            assert response.read() == packed


@pytest.mark.parametrize(
    ("method", "answer", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "12"),
        ("HEAD", b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "0"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
def test_answers_without_a_body_leave_the_connection_usable(
    gateway: Gateway, method: str, answer: bytes, length: str | None
) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer)
        peer.gone()

    with backend(gateway.folder / "a.sock", script) as running, closing(gateway.connection()) as client:
        gateway.route(running.endpoint)
        client.connect()
        sock = client.sock
        for _ in range(2):
            client.request(method, "/")
            response = client.getresponse()
            assert response.headers["Content-Length"] == length
            assert response.headers["Transfer-Encoding"] is None
            assert response.read() == b""
        assert client.sock is sock


def test_an_answer_that_ends_with_its_connection_gets_an_end(gateway: Gateway) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    with backend(gateway.folder / "a.sock", script) as running:
        gateway.route(running.endpoint)
        assert gateway.ask().content == b"all of it"


def test_trailers_are_dropped(gateway: Gateway) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.stream("Trailer: X-Sum")
        peer.chunk(b"body")
        peer.send(b"0\r\nX-Sum: 1\r\n\r\n")

    with backend(gateway.folder / "a.sock", script) as running:
        gateway.route(running.endpoint)
        assert gateway.ask().content == b"body"


def test_a_client_of_http_1_0_gets_a_plain_body(gateway: Gateway) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.stream()
        peer.chunk(b"one ")
        peer.chunk(b"two")
        peer.chunk(b"")

    with backend(gateway.folder / "a.sock", script) as running:
        gateway.route(running.endpoint)
        head, _, content = gateway.speak(b"GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert content == b"one two"


@pytest.mark.slow
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_a_hundred_megabytes_stream_both_ways(gateway: Gateway, chunked: bool) -> None:
    block, count = bytes(range(256)) * 4096, 100
    digest = hashlib.sha256(block * count).hexdigest()
    received, memory = hashlib.sha256(), [gateway.memory_mib()]

    def echo(peer: Peer) -> None:
        _, _, headers = peer.head()
        received.update(peer.body(headers))
        memory.append(gateway.memory_mib())
        if chunked:
            peer.stream()
            for _ in range(count):
                peer.chunk(block)
            peer.chunk(b"")
        else:
            peer.answer(block * count)

    with backend(gateway.folder / "a.sock", echo) as running:
        gateway.route(running.endpoint)
        headers = {} if chunked else {"Content-Length": str(count * len(block))}
        answer = gateway.ask("POST", "/", (block for _ in range(count)), headers, encode_chunked=chunked)
    assert received.hexdigest() == digest
    assert hashlib.sha256(answer.content).hexdigest() == digest
    memory.append(gateway.memory_mib())
    assert max(memory) < 100
