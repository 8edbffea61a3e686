"""The client's side of the gateway. What a real gateway answers is in tests/gateway."""

import json
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from reconciler.core.endpoint import SocketEndpoint, TcpEndpoint
from reconciler.core.errors import FormatError, UnhealthyError
from reconciler.core.routes import BackendUse, Route, Snapshot
from reconciler.core.types import ModelId
from reconciler.host.gateway import (
    GatewayStatus,
    read_snapshot,
    release,
    reload,
    status,
    wait_up,
    write_snapshot,
)

ROUTES = {
    route.model: route
    for route in (
        Route(ModelId("a"), (8601, 8602), SocketEndpoint("/run/a.sock"), 30.0),
        Route(ModelId("b"), (), TcpEndpoint("127.0.0.1", 9001), 0.5),
        Route(ModelId("c"), (8603,), None, 0.0),
    )
}
STATUS = {
    "pid": 17,
    **Snapshot(ROUTES).document(),
    "refused": {"8603": "Address already in use"},
    "backends": {"unix:///run/a.sock": {"requests": 2, "idle_seconds": 0.0}},
}


def test_a_snapshot_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state" / "gateway.json"
    write_snapshot(path, Snapshot(ROUTES))
    assert read_snapshot(path) == Snapshot(ROUTES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_no_snapshot_is_no_routes(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "none.json") == Snapshot({})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"format_version": 2, "routes": []}',
        b'{"format_version": 1, "routes": [{"model": "a", "ports": [1]}]}',
        b'{"format_version": 1, "routes": [{"model": "a", "ports": [1], "backend": 5, "hold_seconds": 1}]}',
        b'{"format_version": 1, "routes": [{"model":"a","ports":[1e999],"backend":null,"hold_seconds":1}]}',
        b'{"format_version": 1, "routes": [{"model": "a", "ports": 1, "backend": null, "hold_seconds": 1}]}',
    ],
)
def test_a_broken_snapshot_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gateway.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"gateway\.json cannot be read as the gateway's routes") as caught:
        read_snapshot(path)
    assert caught.value.hint == "modelctl apply"


@pytest.fixture
def control() -> Iterator[Path]:
    with TemporaryDirectory(prefix="mctl-") as folder:
        yield Path(folder) / "control.sock"


@contextmanager
def answering(path: Path, code: int, content: Any) -> Iterator[list[str]]:
    """Something on the socket that gives this answer to everything; yields what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Nothing: the test's own output is enough."""

    with ThreadingUnixStreamServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield asked
        finally:
            server.shutdown()


def test_the_status_is_read(control: Path) -> None:
    with answering(control, 200, STATUS) as asked:
        found = status(control)
        assert found == reload(control) == wait_up(control, deadline_seconds=5)
    assert found == GatewayStatus(
        pid=17,
        routes=ROUTES,
        refused={8603: "Address already in use"},
        backends={"unix:///run/a.sock": BackendUse(2, 0.0)},
    )
    assert asked == ["GET /routes", "POST /reload", "GET /routes"]


def test_nobody_there_is_no_status(control: Path) -> None:
    assert status(control) is None
    control.touch()
    assert status(control) is None
    with pytest.raises(UnhealthyError, match="the gateway does not answer on"):
        reload(control)


@pytest.mark.parametrize(
    ("code", "content"),
    [(200, b"hello"), (200, []), (200, {"pid": 1}), (200, {**STATUS, "refused": 5}), (404, STATUS)],
)
def test_a_stranger_is_no_gateway(control: Path, code: int, content: Any) -> None:
    with answering(control, code, content):
        assert status(control) is None
        with pytest.raises(UnhealthyError):
            reload(control)


def test_routes_that_are_refused_are_told(control: Path) -> None:
    with (
        answering(control, 400, {"error": {"message": "a and b both want port 1"}}),
        pytest.raises(FormatError, match="refuses its routes: a and b both want port 1"),
    ):
        reload(control)


def test_a_gateway_in_trouble_says_so(control: Path) -> None:
    with answering(control, 500, b"oh"), pytest.raises(UnhealthyError, match=r"could not reload.*\(500\)"):
        reload(control)


def test_what_is_released_is_told(control: Path) -> None:
    with answering(control, 200, {**STATUS, "released": ["a"]}) as asked:
        assert release(control, [ModelId("a"), ModelId("b")]).released == {"a"}
    assert asked == ["POST /release?model=a&model=b"]


def test_a_gateway_of_a_release_before_cannot_release(control: Path) -> None:
    with (
        answering(control, 404, {"error": {"message": "there is no such thing"}}),
        pytest.raises(UnhealthyError, match="lets requests wait on: there is no such thing"),
    ):
        release(control, [ModelId("a")])


def test_it_is_waited_for(control: Path) -> None:
    asked = 0

    def alive() -> bool:
        nonlocal asked
        asked += 1
        return asked < 2

    with pytest.raises(UnhealthyError, match=r"does not answer on .* after 0\.1 s"):
        wait_up(control, deadline_seconds=0.1)
    with pytest.raises(UnhealthyError, match="ended before it answered"):
        wait_up(control, deadline_seconds=30, alive=alive)
    ended = subprocess.Popen(("true",))
    with pytest.raises(UnhealthyError, match="ended before it answered"):
        wait_up(control, deadline_seconds=30, alive=lambda: ended.poll() is None)
