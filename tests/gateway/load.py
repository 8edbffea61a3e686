"""Chat requests at a steady pace: streams and whole answers, on kept connections and on new ones."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from tests.gateway.process import CHAT, TIMEOUT

_WORKERS = 16


@dataclass
class Outcome:
    """What came of the requests: how often each answer, what failed and why, and how long each took."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answers.total() + len(self.failures)


def steady_load(port: int, *, per_second: float, seconds: float) -> Outcome:
    """Ask at this pace, whatever the answers take; returns when the last one is there."""
    outcome, kept = Outcome(), threading.local()
    begin = time.monotonic()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for number in range(int(per_second * seconds)):
            with suppress(ValueError):  # late already
                time.sleep(begin + number / per_second - time.monotonic())
            stream, keep = _KINDS[number % len(_KINDS)]
            pool.submit(_ask, port, outcome, kept, stream=stream, keep=keep)
    return outcome


_KINDS = tuple(itertools.product((False, True), (False, True)))


def _ask(port: int, outcome: Outcome, kept: threading.local, *, stream: bool, keep: bool) -> None:
    if not keep or not hasattr(kept, "connection"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        if keep:
            kept.connection = connection
    else:
        connection = kept.connection
    begin = time.perf_counter()
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "stream": stream}))
        response = connection.getresponse()
        content = response.read()
        outcome.seconds.append(time.perf_counter() - begin)
        if response.status == http.client.OK:
            outcome.answers[(_joined if stream else _whole)(content)] += 1
        else:
            outcome.failures.append(f"{response.status}: {content[:200]!r}")
    except Exception as error:  # noqa: BLE001 - whatever a client would see
        outcome.failures.append(repr(error))
        connection.close()
    finally:
        if not keep:
            connection.close()


def _whole(content: bytes) -> str:
    return str(json.loads(content)["choices"][0]["message"]["content"])


def _joined(content: bytes) -> str:
    events = [line.removeprefix(b"data: ") for line in content.split(b"\n\n") if line]
    assert events.pop() == b"[DONE]", content
    return "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events)


def repeatedly(action: Callable[[int], object], *, every: float) -> Callable[[], int]:
    """Call `action` with 0, 1, 2, … in a thread. What is returned ends that and says how often it was."""
    stop, count = threading.Event(), itertools.count()

    def run() -> None:
        while not stop.wait(every):
            action(next(count))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end() -> int:
        stop.set()
        thread.join()
        return next(count)

    return end
