"""What the gateway costs, and that a switch of runtimes costs no request.

Through the gateway beside straight to the backend, in turn, over kept connections: a backend that does
nothing shows the gateway alone, a tiny llama-server what is left of that beside the least that a model does.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
CONNECTIONS = 16
ROUNDS = 4
"""Straight and through the gateway take turns so often, so that a busy machine is busy for both."""
IN_A_ROW = 500
"""Requests of one connection in one round, for the latency."""
SECONDS = 2.0
"""Of all connections in one round, for the throughput."""
PACE, SWITCH_SECONDS, LOAD_SECONDS = 50, 0.5, 20
IDLE_MIB_GOAL, LOST_GOAL = 60, 0

DUMMY = """
import asyncio, sys
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 15\\r\\n\\r\\n"
ANSWER = HEAD + b'{"status":"ok"}'
class Dummy(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.seen = transport, b""
    def data_received(self, data):
        self.seen += data
        while b"\\r\\n\\r\\n" in self.seen:
            self.seen = self.seen.partition(b"\\r\\n\\r\\n")[2]
            self.transport.write(ANSWER)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Dummy, sys.argv[1], backlog=1024)
    await server.serve_forever()
asyncio.run(main())
"""

Dial = Callable[[], socket.socket]


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from reconciler.core.endpoint import SocketEndpoint  # noqa: PLC0415 - found only once the path is set
    from tests.gateway.process import gateway_process  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="mctl-bench-") as name, gateway_process(Path(name)) as gateway:
        idle = _memory_mib(gateway.running.pid)
        with _dummy(gateway.folder / "dummy.sock") as path:
            gateway.route(SocketEndpoint(str(path)))
            _compare("a backend that does nothing", _unix(path), gateway.dial, _get("/"))
        _real(gateway)
        used = _memory_mib(gateway.running.pid)
        goal = f"goal {IDLE_MIB_GOAL} MiB {'✓' if max(idle, used) <= IDLE_MIB_GOAL else '✗'}"
        print(f"\nmemory of the gateway: {idle:.0f} MiB idle, {used:.0f} MiB after all this  {goal}")


def _real(gateway) -> None:  # noqa: ANN001 - its type is in the tests, found only once the path is set
    from reconciler.demo.tiny_model import tiny_model  # noqa: PLC0415
    from reconciler.host.engine import find_engine  # noqa: PLC0415
    from tests.gateway.load import repeatedly, steady_load  # noqa: PLC0415
    from tests.support.engines import llama_server  # noqa: PLC0415
    from tests.support.serving import served  # noqa: PLC0415

    engine = find_engine(str(llama_server()))
    paths = [gateway.folder / name for name in ("one.sock", "two.sock")]
    for path in paths:
        path.with_suffix(".gguf").write_bytes(tiny_model(f"I am {path.stem}."))
    with (
        served(engine, paths[0].with_suffix(".gguf"), socket_path=paths[0], parallel=4) as one,
        served(engine, paths[1].with_suffix(".gguf"), socket_path=paths[1], parallel=4) as two,
    ):
        gateway.route(one.endpoint)
        chat = _post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
        _compare("a tiny llama-server, whole chat answers", _unix(paths[0]), gateway.dial, chat)
        runtimes = (one, two)
        end = repeatedly(lambda turn: gateway.route(runtimes[turn % 2].endpoint), every=SWITCH_SECONDS)
        outcome = steady_load(gateway.port, per_second=PACE, seconds=LOAD_SECONDS)
        switches = end()
    lost = len(outcome.failures)
    print(f"\n{PACE} requests/s for {LOAD_SECONDS} s, {switches} switches between two runtimes")
    print(f"  answers          {outcome.answers.total():7}    {dict(outcome.answers)}")
    print(f"  lost             {lost:7}    goal {LOST_GOAL} {'✓' if lost == LOST_GOAL else '✗'}")
    print(f"  median and p99   {_times(outcome.seconds)}")
    for failure in outcome.failures[:5]:
        print(f"  {failure}")


def _compare(title: str, straight: Dial, through: Dial, request: bytes) -> None:
    latencies: tuple[list[float], list[float]] = ([], [])
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for number, dial in enumerate((straight, through)):
            latencies[number].extend(_in_a_row(dial, request))
            rates[number].append(asyncio.run(_at_once(dial, request)))
    print(f"\n{title}")
    for number, name in enumerate(("straight", "gateway")):
        rate = statistics.median(rates[number])
        print(f"  {name:<9} {rate:8.0f} requests/s   median and p99 {_times(latencies[number])}")
    added = [through - straight for straight, through in zip(*map(_median_and_p99, latencies), strict=True)]
    print(
        f"  added     {'':8}              median and p99 {added[0] * 1e3:6.2f} and {added[1] * 1e3:6.2f} ms"
    )


def _in_a_row(dial: Dial, request: bytes) -> list[float]:
    """Seconds of each request of one connection, and of the next one when a server closes it."""
    times: list[float] = []
    while len(times) < IN_A_ROW:
        with dial() as sock:
            file, last = sock.makefile("rb"), False
            while len(times) < IN_A_ROW and not last:
                begin = time.perf_counter()
                sock.sendall(request)
                head = b""
                while (line := file.readline()) not in {b"\r\n", b""}:
                    head += line.lower()
                length, last = _framing(head)
                assert len(file.read(length)) == length
                times.append(time.perf_counter() - begin)
    return times


async def _at_once(dial: Dial, request: bytes) -> float:
    """Requests per second of many connections."""
    deadline = time.perf_counter() + SECONDS

    async def ask() -> int:
        count, last = 0, True
        while time.perf_counter() < deadline:
            if last:
                reader, writer = await asyncio.open_connection(sock=dial())
            writer.write(request)
            length, last = _framing((await reader.readuntil(b"\r\n\r\n")).lower())
            await reader.readexactly(length)
            count += 1
            if last:
                writer.close()
        return count

    begin = time.perf_counter()
    counts = await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - begin)


def _framing(head: bytes) -> tuple[int, bool]:
    """Length of the body, and whether the connection ends with it (llama-server's after 100 requests)."""
    return int(head.partition(b"content-length:")[2].split()[0]), b"connection: close" in head


def _unix(path: Path) -> Dial:
    def dial() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        return sock

    return dial


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _post(path: str, document: object) -> bytes:
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def _dummy(path: Path) -> Iterator[Path]:
    process = subprocess.Popen((sys.executable, "-c", DUMMY, str(path)))
    try:
        while not path.exists():
            time.sleep(0.01)
        yield path
    finally:
        process.kill()
        process.wait()


def _median_and_p99(seconds: Sequence[float]) -> tuple[float, float]:
    return statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]


def _times(seconds: Sequence[float]) -> str:
    median, p99 = _median_and_p99(seconds)
    return f"{median * 1e3:6.2f} and {p99 * 1e3:6.2f} ms"


def _memory_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1024**2


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
