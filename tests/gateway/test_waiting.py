"""Requests wait for a backend that is not there yet, and only so long."""

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.routes import Route
from reconciler.core.types import ModelId
from reconciler.demo.tiny_model import tiny_model
from reconciler.gateway.body import KEPT_BYTES
from reconciler.host.engine import find_engine
from reconciler.host.gateway import release
from tests.gateway.backends import LOADING, Peer, Script, Seen, backend, says
from tests.gateway.process import CHAT, MODEL, TIMEOUT, Answer, Gateway
from tests.support.engines import llama_server
from tests.support.serving import free_port, served
from tests.support.waiting import wait_until

LOADS = ("503 Service Unavailable", "Content-Type: application/json; charset=utf-8")


def asking(gateway: Gateway, path: str = "/", body: bytes | None = None) -> "Future[Answer]":
    """A request in a thread, certain to have been sent."""
    future: Future[Answer] = Future()
    sent = threading.Event()

    def ask() -> None:
        with closing(gateway.connection()) as client:
            client.request("GET" if body is None else "POST", path, body)
            sent.set()
            try:
                future.set_result(Answer.of(client.getresponse()))
            except Exception as error:  # noqa: BLE001 - the test is told
                future.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    assert sent.wait(20)
    return future


def test_requests_wait_for_a_backend_and_then_go_on(gateway: Gateway) -> None:
    gateway.route(None)
    waiting = [asking(gateway, f"/{number}", b"x" * number) for number in range(10)]
    with pytest.raises(TimeoutError):
        waiting[0].result(0.2)

    def echo(peer: Peer) -> None:
        seen = peer.request()
        peer.answer(seen.target.encode() + seen.body)

    with backend(gateway.folder / "a.sock", echo) as here:
        gateway.route(here.endpoint)
        answers = [answer.result(20).content for answer in waiting]
        assert answers == [f"/{number}{'x' * number}".encode() for number in range(10)]
        assert gateway.in_flight() == 0


def test_who_waited_long_enough_is_told_when_to_come_back(gateway: Gateway) -> None:
    gateway.route(None, hold_seconds=0.2)
    begin = time.monotonic()
    answer = gateway.ask()
    assert 0.2 <= time.monotonic() - begin < 5
    assert answer.error() == (503, "model_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "tiny" in answer.json["error"]["message"]
    assert "a request waited in vain" in gateway.log


def test_who_waits_for_what_will_not_come_is_told_so_until_the_route_changes(
    gateway: Gateway,
) -> None:
    other = Route(ModelId("other"), (free_port(),), None, TIMEOUT)
    tiny = Route(MODEL, (gateway.port,), None, TIMEOUT)
    gateway.put(tiny, other)
    waiting = asking(gateway)
    with pytest.raises(TimeoutError):
        waiting.result(0.2)
    assert release(gateway.control, [MODEL]).released == {MODEL}
    answer = waiting.result(20)
    assert answer.error() == (503, "model_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    gateway.put(tiny, Route(other.model, other.ports, None, 1.0))
    assert gateway.ask().error() == (503, "model_unavailable"), "the route of another model changed"
    with backend(gateway.folder / "a.sock", says(b"here")) as here:
        gateway.route(here.endpoint)
        assert release(gateway.control, [MODEL]).released == frozenset()
        assert gateway.ask().content == b"here"
    gateway.route(None, hold_seconds=0.2)
    assert gateway.status().released == frozenset()


def test_a_model_that_is_dropped_is_not_waited_for(gateway: Gateway) -> None:
    gateway.route(None)
    waiting = asking(gateway)
    gateway.status()
    gateway.put()
    assert waiting.result(20).error() == (503, "model_unavailable")


def test_a_request_belongs_to_its_model_when_the_port_is_closed(gateway: Gateway) -> None:
    gateway.route(None)
    waiting = asking(gateway)
    gateway.status()
    with backend(gateway.folder / "a.sock", says(b"late")) as late:
        gateway.put(Route(MODEL, (free_port(),), late.endpoint, 1.0))
        assert waiting.result(20).content == b"late"


def test_a_reload_of_other_routes_does_not_end_the_waiting(gateway: Gateway) -> None:
    gateway.route(None)
    waiting = asking(gateway)
    for number in range(5):
        routes = (Route(MODEL, (gateway.port,), None, 1.0), Route(ModelId(f"m{number}"), (), None, 1.0))
        gateway.put(*routes)
    with backend(gateway.folder / "a.sock", says(b"here")) as here:
        gateway.route(here.endpoint)
        assert waiting.result(20).content == b"here"


def missing(gateway: Gateway) -> SocketEndpoint | TcpEndpoint:
    return SocketEndpoint(str(gateway.folder / "a.sock"))


def left_behind(gateway: Gateway) -> SocketEndpoint | TcpEndpoint:
    path = str(gateway.folder / "b.sock")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
    return SocketEndpoint(path)


def closed(gateway: Gateway) -> SocketEndpoint | TcpEndpoint:
    return TcpEndpoint("127.0.0.1", free_port())


@pytest.mark.parametrize("away", [missing, left_behind, closed])
def test_a_backend_that_does_not_listen_is_waited_for(
    gateway: Gateway, away: Callable[[Gateway], SocketEndpoint | TcpEndpoint]
) -> None:
    endpoint = away(gateway)
    gateway.route(endpoint, hold_seconds=0.3)
    assert gateway.ask().error() == (503, "model_unavailable")
    gateway.route(endpoint)
    waiting = asking(gateway, body=b"patience")
    with backend(gateway.folder / "c.sock", says(b"other")) as other:
        gateway.route(other.endpoint)
        assert waiting.result(20).content == b"other"
    assert gateway.in_flight() == 0


def test_a_backend_that_appears_is_found(gateway: Gateway) -> None:
    gateway.route(missing(gateway))
    waiting = asking(gateway)
    with pytest.raises(TimeoutError):
        waiting.result(0.2)
    with backend(gateway.folder / "a.sock", says(b"here")):
        assert waiting.result(20).content == b"here"


def test_a_full_queue_of_connections_is_waited_out(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", says(b"at last"), accepting=False, backlog=0) as busy:
        gateway.route(busy.endpoint)
        with closing(socket.socket(socket.AF_UNIX)) as first:
            first.connect(busy.endpoint.path)
            waiting = [asking(gateway, body=b"x" * 10) for _ in range(5)]
            gateway.status()
        threading.Thread(target=busy.run, daemon=True).start()
        assert [answer.result(20).content for answer in waiting] == [b"at last"] * 5


class Loading:
    """Answers like llama-server that still loads, for so many requests."""

    def __init__(self, times: int, content: bytes = LOADING) -> None:
        self.times = times
        self.content = content
        self.seen: list[Seen] = []

    def __call__(self, peer: Peer) -> None:
        self.seen.append(peer.request())
        if len(self.seen) <= self.times:
            peer.answer(self.content, *LOADS)
        else:
            peer.answer(b"loaded")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_model_that_loads_is_waited_for_and_gets_the_whole_body(gateway: Gateway, chunked: bool) -> None:
    script = Loading(3)
    body = b"x" * (KEPT_BYTES - 1000)
    with backend(gateway.folder / "a.sock", script) as loading:
        gateway.route(loading.endpoint)
        blocks = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
        answer = gateway.ask("POST", "/v1/x", blocks if chunked else body, encode_chunked=chunked)
        assert answer.content == b"loaded"
    assert [seen.body for seen in script.seen] == [body] * 4


def test_a_model_that_never_loads_is_not_waited_for_longer_than_said(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", Loading(1000)) as loading:
        gateway.route(loading.endpoint, hold_seconds=0.3)
        answer = gateway.ask("POST", "/", b"x")
    assert answer.error() == (503, "model_unavailable")
    assert "loads its model" in answer.json["error"]["message"]


def test_a_body_too_long_to_keep_is_sent_once(gateway: Gateway) -> None:
    script = Loading(1)
    with backend(gateway.folder / "a.sock", script) as loading:
        gateway.route(loading.endpoint)
        answer = gateway.ask("POST", "/", b"x" * (KEPT_BYTES + 1))
        assert (answer.status, answer.content) == (503, LOADING)
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"busy",
        b"{",
        b'{"error":{"code":503,"message":"Loading model","type":"other"}}',
        b'{"error":{"code":503,"message":"no slot is free","type":"unavailable_error"}}',
        LOADING.ljust(2000),
    ],
)
def test_other_refusals_are_passed_on(gateway: Gateway, content: bytes) -> None:
    script = Loading(1, content)
    with backend(gateway.folder / "a.sock", script) as full:
        gateway.route(full.endpoint)
        answer = gateway.ask("POST", "/", b"x")
        assert (answer.status, answer.content) == (503, content)
    assert len(script.seen) == 1


def loading_words(status: str) -> Script:
    return says(LOADING, status, "Content-Type: application/json")


def test_the_words_under_another_status_are_an_answer(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", loading_words("200 OK")) as odd:
        gateway.route(odd.endpoint)
        assert gateway.ask().content == LOADING


def test_a_route_may_change_while_a_model_loads(gateway: Gateway) -> None:
    with (
        backend(gateway.folder / "a.sock", Loading(10_000)) as loading,
        backend(gateway.folder / "b.sock", says(b"ready")) as ready,
    ):
        gateway.route(loading.endpoint)
        waiting = asking(gateway, body=b"x")
        wait_until(lambda: loading.connections > 2)
        gateway.route(ready.endpoint)
        assert waiting.result(20).content == b"ready"


@pytest.mark.slow
def test_a_thousand_may_wait_and_the_next_may_not(gateway: Gateway) -> None:
    gateway.route(None)
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    clients = [gateway.dial() for _ in range(1000)]
    try:
        for client in clients:
            client.sendall(head)
        wait_until(lambda: gateway.ask(headers={"Connection": "close"}).status == 503, 20)
        assert "too many requests wait" in gateway.log
        with backend(gateway.folder / "a.sock", says(b"here"), backlog=1) as here:
            gateway.route(here.endpoint)
            for client in clients:
                assert client.recv(12) == b"HTTP/1.1 200"
            assert gateway.in_flight() == 0
    finally:
        for client in clients:
            client.close()


def test_a_client_that_stops_waiting_is_forgotten(gateway: Gateway) -> None:
    gateway.route(None)
    with closing(gateway.dial()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        gateway.status()
    with backend(gateway.folder / "a.sock", says(b"here")) as here:
        gateway.route(here.endpoint)
        assert gateway.ask().content == b"here"
        assert here.connections == 1


@pytest.mark.parametrize("kind", ["embedded", "llama-server"])
def test_a_real_runtime_that_starts_late_answers(gateway: Gateway, kind: str) -> None:
    """Its model takes some tenths of a second to load, which requests meet too."""
    engine = find_engine("embedded" if kind == "embedded" else str(llama_server()))
    model = gateway.folder / "tiny.gguf"
    model.write_bytes(tiny_model("Late I am.", layers=60))
    gateway.route(missing(gateway))
    with ThreadPoolExecutor(4) as pool:
        body = json.dumps(CHAT).encode()
        asked = [pool.submit(gateway.ask, "POST", "/v1/chat/completions", body) for _ in range(4)]
        with served(engine, model, socket_path=gateway.folder / "a.sock"):
            for answer in asked:
                assert answer.result(60).json["choices"][0]["message"]["content"] == "Late I am."
