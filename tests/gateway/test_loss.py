"""Backends and clients that go away in the midst of things."""

import http.client
import json
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.core.engine import Engine
from reconciler.demo.tiny_model import tiny_model
from tests.gateway.backends import Peer, backend
from tests.gateway.process import MODEL, Gateway, gateway_process
from tests.support.serving import served
from tests.support.waiting import wait_until

EVENTS = "Content-Type: text/event-stream"


def hang_up(peer: Peer) -> None:
    peer.request()


def reset(peer: Peer) -> None:
    peer.head()
    peer.socket.close()


def babble(peer: Peer) -> None:
    peer.request()
    peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")


def half_a_head(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "POST"])
@pytest.mark.parametrize("script", [hang_up, reset, babble, half_a_head])
def test_a_request_that_was_sent_is_never_sent_again(
    gateway: Gateway, script: Callable[[Peer], None], method: str
) -> None:
    with backend(gateway.folder / "a.sock", script) as flaky:
        gateway.route(flaky.endpoint)
        answer = gateway.ask(method, "/", None if method in {"GET", "HEAD"} else b"body")
        assert answer.status == 502
        if method != "HEAD":
            assert answer.error() == (502, "backend_lost")
        assert flaky.connections == 1
        assert gateway.in_flight() == 0
        assert "lost a request" in gateway.log


def test_many_losses_are_one_line_in_the_log(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", hang_up) as flaky:
        gateway.route(flaky.endpoint)
        for _ in range(20):
            assert gateway.ask().status == 502
    assert len(gateway.log.splitlines()) == 1


def events_and_death(tail: bytes, *headers: str) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.request()
        peer.stream(EVENTS, *headers)
        peer.chunk(b"data: one\n\n" + tail)

    return script


@pytest.mark.parametrize("tail", [b"", b'data: {"half'])
def test_a_stream_that_breaks_ends_with_an_error_and_without_an_end(gateway: Gateway, tail: bytes) -> None:
    with (
        backend(gateway.folder / "a.sock", events_and_death(tail)) as dying,
        closing(gateway.connection()) as client,
    ):
        gateway.route(dying.endpoint)
        client.request("GET", "/")
        response = client.getresponse()
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        *_, last, nothing = caught.value.partial.split(b"\n\n")
        assert caught.value.partial.startswith(b"data: one\n\n" + tail)
        assert nothing == b""
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "backend_lost"
        assert gateway.in_flight() == 0


def test_a_packed_stream_that_breaks_gets_no_plain_text(gateway: Gateway) -> None:
    script = events_and_death(b"", "Content-Encoding: gzip")
    with backend(gateway.folder / "a.sock", script) as dying, closing(gateway.connection()) as client:
        gateway.route(dying.endpoint)
        client.request("GET", "/")
        with pytest.raises(http.client.IncompleteRead) as caught:
            client.getresponse().read()
        assert caught.value.partial == b"data: one\n\n"


@pytest.mark.parametrize("head", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_an_answer_that_breaks_is_seen_to_be_broken(gateway: Gateway, head: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        peer.send(b"5\r\nhello\r\n" if "chunked" in head else b"hello")

    with backend(gateway.folder / "a.sock", script) as dying, closing(gateway.connection()) as client:
        gateway.route(dying.endpoint)
        client.request("GET", "/")
        with pytest.raises(http.client.IncompleteRead) as caught:
            client.getresponse().read()
        assert caught.value.partial == b"hello"


def test_a_client_of_http_1_0_sees_a_break_too(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", events_and_death(b"")) as dying:
        gateway.route(dying.endpoint)
        with pytest.raises(ConnectionResetError):
            gateway.speak(b"GET / HTTP/1.0\r\n\r\n")


def test_a_killed_runtime_breaks_its_streams_and_the_next_one_serves(
    gateway: Gateway, engine: Engine
) -> None:
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("word " * 400, context_tokens=8192))
    with closing(gateway.connection()) as client:
        with served(engine, model, socket_path=gateway.folder / "a.sock", context_tokens=4096) as server:
            gateway.route(server.endpoint)
            client.request("POST", "/completion", json.dumps(ENDLESS))
            response = client.getresponse()
            assert response.read1(5) == b"data:"
            server.process.kill()
            with pytest.raises(http.client.IncompleteRead) as caught:
                response.read()
        assert b'"backend_lost"' in caught.value.partial
        assert gateway.in_flight() == 0


ENDLESS = {"prompt": "Hi", "n_predict": 100_000, "ignore_eos": True, "stream": True}


def busy_slots(server_answer: object) -> int:
    assert isinstance(server_answer, list)
    return sum(slot["is_processing"] for slot in server_answer)


def test_a_runtime_stops_when_its_client_leaves(gateway: Gateway, engine: Engine) -> None:
    """Of a stream: llama-server b11434 goes on with other requests, behind a gateway or not."""
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("word", context_tokens=1_000_000))
    flags = {"slots": True}
    with served(
        engine, model, socket_path=gateway.folder / "a.sock", context_tokens=200_000, flags=flags
    ) as server:
        gateway.route(server.endpoint)
        with closing(gateway.connection()) as client:
            client.request("POST", "/completion", json.dumps(ENDLESS))
            response = client.getresponse()
            assert response.read1(5) == b"data:"
            assert gateway.in_flight() == 1
            wait_until(lambda: busy_slots(server.ask("/slots")[1]) == 1, what="a busy slot")
            response.close()
        gateway.wait_in_flight(0)
        wait_until(lambda: busy_slots(server.ask("/slots")[1]) == 0, what="an idle slot")


def test_a_client_that_leaves_in_its_body_leaves_nothing_behind(gateway: Gateway) -> None:
    begun, bodies = threading.Event(), []

    def script(peer: Peer) -> None:
        _, _, headers = peer.head()
        begun.set()
        bodies.append(peer.body(headers))

    with backend(gateway.folder / "a.sock", script) as here:
        gateway.route(here.endpoint)
        with closing(gateway.dial()) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
            assert begun.wait(10)
            assert gateway.in_flight() == 1
        wait_until(lambda: bodies == [b"half"], what="the backend is left too")
        gateway.wait_in_flight(0)


MALFORMED = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"nonsense\r\n",
)


def test_a_client_whose_body_is_malformed_leaves_nothing_behind(gateway: Gateway) -> None:
    """The C parser of aiohttp tells nobody that a body cannot go on: it ends when its client leaves."""
    with backend(gateway.folder / "a.sock", Peer.request) as here:
        gateway.route(here.endpoint)
        with closing(gateway.dial()) as client:
            client.sendall(MALFORMED[0])
            gateway.wait_in_flight(1)
            client.sendall(MALFORMED[1])
        gateway.wait_in_flight(0)


def test_a_malformed_body_is_the_clients_fault(folder: Path) -> None:
    """Where aiohttp has its parser in Python only."""
    environment = os.environ | {"AIOHTTP_NO_EXTENSIONS": "1"}
    with (
        gateway_process(folder, env=environment) as gateway,
        backend(folder / "a.sock", Peer.request) as here,
        closing(gateway.dial(gateway.route(here.endpoint).routes[MODEL].ports[0])) as client,
    ):
        client.sendall(MALFORMED[0])
        gateway.wait_in_flight(1)
        client.sendall(MALFORMED[1])
        assert client.makefile("rb").readline().split()[1] == b"400"
        gateway.wait_in_flight(0)
        assert "lost a request" not in gateway.log


def test_a_backend_may_answer_before_it_has_read_the_body(gateway: Gateway) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(b"too long", "413 Content Too Large")
        while peer.socket.recv(65536):
            pass

    with backend(gateway.folder / "a.sock", script) as here:
        gateway.route(here.endpoint)
        with closing(gateway.dial()) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nbeginning")
            assert client.recv(12) == b"HTTP/1.1 413"


def test_a_slow_client_slows_its_backend_and_fills_no_memory(gateway: Gateway) -> None:
    block, sent = b"x" * 65536, [0]

    def script(peer: Peer) -> None:
        peer.request()
        peer.stream()
        while len(sent) < 2000:
            peer.chunk(block)
            sent.append(len(sent))

    with backend(gateway.folder / "a.sock", script) as eager:
        gateway.route(eager.endpoint)
        with closing(gateway.dial()) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
            seen: list[int] = []
            wait_until(
                lambda: len(sent) in seen[-1:] or seen.append(len(sent)), what="the backend is held up"
            )
            assert len(sent) < 500
            assert gateway.memory_mib() < 80
        gateway.wait_in_flight(0)
