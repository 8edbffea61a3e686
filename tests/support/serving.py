"""A model served by a real engine for the length of a `with`."""

import http.client
import itertools
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.endpoint import Endpoint, SocketEndpoint, TcpEndpoint
from reconciler.core.engine import Engine
from reconciler.host.health import wait_ready
from reconciler.kinds.unit.flags import FlagValue, RuntimeSettings, compile_flags

READY_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody listens on now, and that neither clients nor other test processes are given soon.

    Below the range of ports that the system hands out, beginning at a place of this process's own.
    """
    for port in itertools.islice(_PORTS, _HIGH - _LOW):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


_LOW, _HIGH = 10_000, 32_000
_START = os.getpid() * 67 % (_HIGH - _LOW)
_PORTS = (_LOW + (_START + step) % (_HIGH - _LOW) for step in itertools.count())


@dataclass(frozen=True)
class Served:
    """A running engine and where it listens."""

    process: subprocess.Popen[str]
    endpoint: Endpoint
    log: Path

    def connection(self) -> http.client.HTTPConnection:
        """A new connection to it, over TCP or its socket."""
        if isinstance(self.endpoint, TcpEndpoint):
            return http.client.HTTPConnection(self.endpoint.host, self.endpoint.port, timeout=READY_SECONDS)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(READY_SECONDS)
        connection.sock.connect(self.endpoint.path)
        return connection

    def ask(
        self, path: str, body: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of one request: GET without a body, POST with one."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with closing(self.connection()) as connection:
            connection.request(
                "POST" if body is not None else "GET",
                path,
                json.dumps(body) if body is not None else None,
                headers,
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def chat(self, text: str = "Who are you?", **options: Any) -> str:
        """The answer to one user message."""
        body = {"messages": [{"role": "user", "content": text}], **options}
        status, answer = self.ask("/v1/chat/completions", body)
        assert status == 200, answer
        return str(answer["choices"][0]["message"]["content"])


@contextmanager
def process(command: tuple[str, ...], log: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program with its output in `log`; killed at the end, whatever happened."""
    with (
        log.open("a") as output,
        subprocess.Popen(command, stdout=output, stderr=output, text=True, **options) as running,
    ):
        try:
            yield running
        finally:
            running.kill()


@contextmanager
def served(
    engine: Engine,
    model: Path,
    *,
    socket_path: Path | None = None,
    flags: Mapping[str, FlagValue] | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """Serve `model` as a unit would, ready when the block begins."""
    endpoint = SocketEndpoint(str(socket_path)) if socket_path else TcpEndpoint("127.0.0.1", free_port())
    wanted: dict[str, Any] = {
        "aliases": ("tiny",),
        "context_tokens": 1024,
        "threads": 1,
        "flags": flags or {},
        **settings,
    }
    runtime = RuntimeSettings(model=str(model), endpoint=endpoint, **wanted)
    command = (*engine.command_for(endpoint), *compile_flags(runtime, engine))
    log = model.with_suffix(".log")
    with process(command, log) as running:
        try:
            wait_ready(
                endpoint,
                deadline_seconds=READY_SECONDS,
                alive=lambda: running.poll() is None,
                embedding=runtime.embedding,
                api_key=Path(runtime.api_key_file).read_text().strip() if runtime.api_key_file else None,
            )
        except BaseException as error:
            error.add_note(log.read_text())
            raise
        yield Served(running, endpoint, log)
