"""Clients that ask a model at a constant pace, and count what went wrong."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_WORKERS = 10


@dataclass
class Traffic:
    """What has come of it so far."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """How long each answer took, from its request to its last byte."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        return sum(self.answers.values()) + len(self.failures)

    def told(self, answer: str, seconds: float) -> None:
        with self._lock:
            self.answers[answer] += 1
            self.seconds.append(seconds)

    def failed(self, what: str) -> None:
        with self._lock:
            self.failures.append(what)


@contextmanager
def traffic(*ports: int, per_second: float = 50.0) -> Iterator[Traffic]:
    """So many chat requests per second, in turn to each of the ports; half of them stream.

    Half of the clients keep their connection, half open one per request.
    """
    seen, stop = Traffic(), threading.Event()
    workers = [
        threading.Thread(
            target=_client, args=(ports[number % len(ports)], number, _WORKERS / per_second, seen, stop)
        )
        for number in range(_WORKERS)
    ]
    for worker in workers:
        worker.start()
    try:
        yield seen
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _client(port: int, number: int, pause: float, seen: Traffic, stop: threading.Event) -> None:
    stream, keep = bool(number % 2), bool(number // 2 % 2)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    due = time.monotonic() + number * pause / _WORKERS
    while not stop.wait(max(0.0, due - time.monotonic())):
        due += pause
        begin = time.monotonic()
        try:
            answer = _ask(connection, stream=stream)
            seen.told(answer, time.monotonic() - begin)
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError) as error:
            seen.failed(f"{type(error).__name__}: {error}")
            connection.close()
        if not keep:
            connection.close()
    connection.close()


def _ask(connection: http.client.HTTPConnection, *, stream: bool) -> str:
    """One answer whole; ValueError when it is none."""
    body = {"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 64, "stream": stream}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read().decode()
    if answer.status != http.client.OK:
        raise ValueError(f"{answer.status} {content}")
    if not stream:
        return str(json.loads(content)["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in content.splitlines() if line.startswith("data: ")]
    if not lines or lines[-1] != "[DONE]":
        raise ValueError(f"the stream was cut: {content[-200:]!r}")
    deltas = [json.loads(line)["choices"] for line in lines[:-1]]
    return "".join(choice[0]["delta"].get("content") or "" for choice in deltas if choice)
