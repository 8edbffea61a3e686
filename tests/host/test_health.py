import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.errors import UnhealthyError
from reconciler.demo.tiny_model import tiny_model
from reconciler.host.engine import find_engine
from reconciler.host.health import Health, look, prove, wait_ready
from tests.support.engines import llama_server
from tests.support.serving import free_port, served

LOADING = (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
READY = (200, {"status": "ok"})
TOKEN = (200, {"content": "x"})
MODELS = (200, {"data": [{"id": "a", "aliases": ["a", "b"]}]})

Answer = tuple[int, Any]
Answers = dict[str, Callable[[], Answer]]


def always(answer: Answer) -> Callable[[], Answer]:
    return lambda: answer


HEALTHY: Answers = {
    "/health": always(READY),
    "/completion": always(TOKEN),
    "/embedding": always(TOKEN),
    "/v1/models": always(MODELS),
}


class Fake(ThreadingHTTPServer):
    """A server with scripted answers, for what a real one does too seldom or too fast."""

    daemon_threads = True

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def endpoint(self) -> TcpEndpoint:
        return TcpEndpoint("127.0.0.1", self.server_port)


class _Handler(BaseHTTPRequestHandler):
    server: Fake

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.server.answers[self.path]()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Nothing: the test's own output is enough."""


@contextmanager
def fake(answers: Answers) -> Iterator[Fake]:
    with Fake(answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def unhealthy(endpoint: TcpEndpoint | SocketEndpoint, **options: Any) -> str:
    with pytest.raises(UnhealthyError) as caught:
        wait_ready(endpoint, **{"deadline_seconds": 10.0, **options})
    assert caught.value.hint
    return caught.value.what


@pytest.mark.parametrize("over_socket", [False, True])
@pytest.mark.parametrize("kind", ["embedded", "llama-server"])
def test_a_real_engine_is_ready_over_tcp_and_over_a_socket(
    tmp_path: Path, kind: str, over_socket: bool
) -> None:
    engine = find_engine("embedded" if kind == "embedded" else str(llama_server()))
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny_model("Here."))
    with (
        TemporaryDirectory(prefix="mctl-") as short,
        served(engine, model, socket_path=Path(short, "a.sock") if over_socket else None) as server,
    ):
        report = wait_ready(server.endpoint, deadline_seconds=30, alias="tiny")
        assert look(server.endpoint) is Health.READY
        assert "it serves tiny, not other" in unhealthy(server.endpoint, alias="other")
    assert 0 < report.listening_seconds <= report.loaded_seconds <= report.answered_seconds
    assert look(server.endpoint) is Health.SILENT


def test_it_waits_while_the_model_loads() -> None:
    left = [LOADING] * 5
    answers = HEALTHY | {"/health": lambda: left.pop() if left else READY}
    with fake(answers) as server:
        report = wait_ready(server.endpoint, deadline_seconds=10)
    assert server.asked.count("/health") == 6
    assert server.asked[-1] == "/completion"
    assert report.listening_seconds < report.loaded_seconds


def test_it_waits_for_a_server_that_does_not_listen_yet(tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny_model("Here."))
    with TemporaryDirectory(prefix="mctl-") as short, ThreadPoolExecutor(1) as pool:
        path = Path(short, "a.sock")
        waiting = pool.submit(wait_ready, SocketEndpoint(str(path)), deadline_seconds=60)
        with served(find_engine("embedded"), model, socket_path=path):
            assert waiting.result(60).listening_seconds > 0


def test_it_tells_loading_from_silence_when_time_is_up() -> None:
    with fake({"/health": always(LOADING)}) as server:
        assert "still loads its model after 0.1 s" in unhealthy(server.endpoint, deadline_seconds=0.1)
    assert "nothing answers on" in unhealthy(TcpEndpoint("127.0.0.1", free_port()), deadline_seconds=0.1)
    assert "nothing answers on" in unhealthy(SocketEndpoint("/nowhere/a.sock"), deadline_seconds=0.1)


def test_it_stops_waiting_when_the_runtime_ended() -> None:
    ended = subprocess.Popen(("true",))
    what = unhealthy(
        TcpEndpoint("127.0.0.1", free_port()), deadline_seconds=60, alive=lambda: ended.poll() is None
    )
    assert "ended before it was ready" in what


@pytest.mark.parametrize(
    "answer",
    [(404, b"not here"), (200, b"<html>a router</html>"), (200, {"status": "up"}), (503, b"busy"), (200, [])],
)
def test_a_stranger_on_the_port_is_not_waited_for(answer: Answer) -> None:
    with fake({"/health": always(answer)}) as server:
        assert look(server.endpoint) is Health.FOREIGN
        assert "something else than llama-server listens" in unhealthy(server.endpoint)


def test_a_stranger_that_speaks_no_http_is_one_too() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                client.recv(65536)

        threading.Thread(target=greet, daemon=True).start()
        assert look(TcpEndpoint(*listener.getsockname())) is Health.FOREIGN


def test_a_listener_that_never_answers_is_silent() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        assert look(TcpEndpoint(*listener.getsockname()), timeout=0.1) is Health.SILENT


def test_another_llama_server_on_the_port_is_not_ours() -> None:
    with fake(HEALTHY) as server:
        wait_ready(server.endpoint, deadline_seconds=10, alias="b")
        assert "it serves a, b, not c" in unhealthy(server.endpoint, alias="c")


def test_names_in_one_id_are_told_apart() -> None:
    with fake(HEALTHY | {"/v1/models": always((200, {"data": [{"id": "a, b"}]}))}) as server:
        wait_ready(server.endpoint, deadline_seconds=10, alias="b")


def test_a_server_that_wants_another_key_says_so() -> None:
    denied = always((401, {"error": {"message": "Invalid API Key"}}))
    with fake(HEALTHY | {"/v1/models": denied, "/completion": denied}) as server:
        assert "does not tell its name: Invalid API Key (401)" in unhealthy(server.endpoint, alias="a")
        assert "cannot make a token: Invalid API Key (401)" in unhealthy(server.endpoint)


def test_health_without_a_token_is_not_ready() -> None:
    broken = always((500, {"error": {"message": "out of memory"}}))
    with fake(HEALTHY | {"/completion": broken}) as server:
        assert "cannot make a token: out of memory (500)" in unhealthy(server.endpoint)
        prove(server.endpoint, timeout=10, embedding=True)


def test_a_wedged_server_fails_the_proof() -> None:
    release = threading.Event()

    def hang() -> Answer:
        release.wait(10)
        return TOKEN

    with fake(HEALTHY | {"/completion": hang}) as server:
        with pytest.raises(UnhealthyError, match=r"is loaded but made no token in 0 s"):
            prove(server.endpoint, timeout=0.2)
        release.set()


def test_a_server_that_dies_in_the_proof_went_away() -> None:
    with fake(HEALTHY | {"/completion": lambda: (200, _die())}) as server:
        assert "went away when asked for a token" in unhealthy(server.endpoint)


def _die() -> bytes:
    raise ConnectionError
