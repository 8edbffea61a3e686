"""Requests and answers go through unchanged, and as they come."""

import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from openai import OpenAI

from reconciler.core.endpoint import TcpEndpoint
from reconciler.core.engine import Engine
from reconciler.demo.tiny_model import tiny_model
from tests.gateway.backends import Peer, Seen, backend, says
from tests.gateway.process import CHAT, Gateway
from tests.support.serving import served

EXPECTING = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
)


class Mirror:
    """A backend that keeps what it saw and answers with one word."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def __call__(self, peer: Peer) -> None:
        self.seen.append(peer.request())
        peer.answer(b"seen")


@pytest.fixture
def mirror(gateway: Gateway) -> Iterator[Mirror]:
    mirror = Mirror()
    with backend(gateway.folder / "mirror.sock", mirror) as running:
        gateway.route(running.endpoint)
        yield mirror


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


def test_requests_in_a_row_are_answered_in_a_row(gateway: Gateway) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.request().target.encode())

    heads = [f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n" for number in range(10)]
    with backend(gateway.folder / "a.sock", script) as running:
        gateway.route(running.endpoint)
        content = gateway.speak(("\r\n".join(heads) + "Connection: close\r\n\r\n").encode())
    assert [int(part[:1]) for part in content.split(b"\r\n\r\n/")[1:]] == list(range(10))


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
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 501")
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


@pytest.mark.parametrize("over_socket", [False, True])
def test_a_real_runtime_answers_behind_it(gateway: Gateway, engine: Engine, over_socket: bool) -> None:
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("Here I am."))
    with served(engine, model, socket_path=gateway.folder / "a.sock" if over_socket else None) as server:
        assert isinstance(server.endpoint, TcpEndpoint) is not over_socket
        gateway.route(server.endpoint)
        assert chat(gateway)["choices"][0]["message"]["content"] == "Here I am."
        events = chat_events(gateway)
        assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "Here I am."
        assert gateway.ask("POST", "/v1/chat/completions", "{").status == 400
        assert gateway.ask("GET", "/nowhere").status == 404
        assert gateway.ask("HEAD", "/health").content == b""
        assert gateway.in_flight() == 0


def chat(gateway: Gateway) -> Any:
    answer = gateway.ask("POST", "/v1/chat/completions", json.dumps(CHAT))
    assert answer.status == 200, answer.content
    return answer.json


def chat_events(gateway: Gateway) -> list[Any]:
    content = gateway.ask("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": True})).content
    lines = [line.removeprefix(b"data: ") for line in content.split(b"\n\n") if line]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


def test_official_clients_work_through_it(gateway: Gateway, engine: Engine) -> None:
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("Here I am."))
    with (
        served(engine, model, socket_path=gateway.folder / "a.sock") as server,
        OpenAI(base_url=f"http://localhost:{gateway.port}/v1", api_key="none") as client,
    ):
        gateway.route(server.endpoint)
        said = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "?"}])
        assert said.choices[0].message.content == "Here I am."
        assert [found.id for found in client.models.list()] == ["tiny"]


def test_one_connection_of_a_client_serves_many_requests(gateway: Gateway, mirror: Mirror) -> None:
    with closing(gateway.connection()) as client:
        client.connect()
        sock = client.sock
        for number in range(3):
            client.request("POST", "/", b"x" * number)
            assert client.getresponse().read() == b"seen"
        assert client.sock is sock
    assert [len(seen.body) for seen in mirror.seen] == [0, 1, 2]
