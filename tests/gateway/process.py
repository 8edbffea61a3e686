"""A real gateway process for the length of a `with`, and its clients."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from reconciler.core.endpoint import Endpoint
from reconciler.core.routes import Route, Snapshot
from reconciler.core.types import ModelId
from reconciler.host.gateway import GatewayStatus, reload, status, wait_up, write_snapshot
from tests.support.serving import free_port, process
from tests.support.waiting import wait_until

MODEL = ModelId("tiny")
TIMEOUT = 30.0
CHAT = {"messages": [{"role": "user", "content": "Who are you?"}]}


@dataclass
class Gateway:
    """A running gateway, and a port of a model that the test routes as it likes."""

    running: subprocess.Popen[str]
    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def control(self) -> Path:
        return self.folder / "control.sock"

    @property
    def snapshot(self) -> Path:
        return self.folder / "gateway.json"

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def put(self, *routes: Route) -> GatewayStatus:
        """Make these the routes."""
        write_snapshot(self.snapshot, Snapshot({route.model: route for route in routes}))
        return reload(self.control)

    def route(self, backend: Endpoint | None, *, hold_seconds: float = TIMEOUT) -> GatewayStatus:
        """Route the model's port to `backend`."""
        return self.put(Route(MODEL, (self.port,), backend, hold_seconds))

    def status(self) -> GatewayStatus:
        found = status(self.control)
        assert found is not None, self.log
        return found

    def in_flight(self) -> int:
        return sum(use.requests for use in self.status().backends.values())

    def wait_in_flight(self, count: int) -> None:
        wait_until(lambda: self.in_flight() == count, what=f"{count} requests at backends")

    def memory_mib(self) -> float:
        """Resident now."""
        return float(psutil.Process(self.running.pid).memory_info().rss) / 1024**2

    def descriptors(self) -> int:
        return int(psutil.Process(self.running.pid).num_fds())

    def connection(self, port: int | None = None) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=TIMEOUT)

    def dial(self, port: int | None = None) -> socket.socket:
        """A bare connection, for what no HTTP client would do."""
        return socket.create_connection(("127.0.0.1", port or self.port), TIMEOUT)

    def speak(self, words: bytes) -> bytes:
        """All that is answered to these bytes until the gateway closes."""
        with self.dial() as client:
            client.sendall(words)
            return client.makefile("rb").read()

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> "Answer":
        """One request on a connection of its own."""
        connection = self.connection()
        try:
            connection.request(method, path, body, dict(headers or {}), **options)
            return Answer.of(connection.getresponse())
        finally:
            connection.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @classmethod
    def of(cls, response: http.client.HTTPResponse) -> "Answer":
        return cls(response.status, response.headers, response.read())

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    def error(self) -> tuple[int, str]:
        """Status and code of an error in OpenAI's shape."""
        error = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["type"] == ("server_error" if self.status >= 500 else "invalid_request_error")
        return self.status, error["code"]


def command(folder: Path) -> tuple[str, ...]:
    program = (sys.executable, "-m", "reconciler.gateway")
    return (*program, "--snapshot", str(folder / "gateway.json"), "--control", str(folder / "control.sock"))


@contextmanager
def gateway_process(folder: Path, **options: Any) -> Iterator[Gateway]:
    """A gateway with its files in `folder`, answering when the block begins."""
    with process(command(folder), folder / "gateway.log", **options) as running:
        gateway = Gateway(running, folder)
        wait_up(gateway.control, deadline_seconds=TIMEOUT, alive=lambda: running.poll() is None)
        yield gateway
