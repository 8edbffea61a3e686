"""Everything at once, at random."""

import random
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from tests.gateway.backends import LOADING, Peer, backend
from tests.gateway.process import Gateway
from tests.support.waiting import wait_until

PROBLEM = re.compile("lost a request|broke an answer off|waited in vain")


class Moody:
    """A backend that does anything, reproducibly."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, peer: Peer) -> None:
        mood = self._random.randrange(8)
        if mood == 0:
            return
        _, _, headers = peer.head()
        if mood == 1:
            return
        peer.body(headers)
        if mood == 2:
            peer.answer(LOADING, "503 Service Unavailable", "Content-Type: application/json")
        elif mood == 3:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken")
        elif mood == 4:
            peer.stream("Content-Type: text/event-stream")
            peer.chunk(b"data: 1\n\n")
            if self._random.random() < 0.5:
                peer.chunk(b"")
        elif mood == 5:
            peer.gone()
        else:
            peer.answer(b"x" * self._random.randrange(300_000))


def fickle_client(gateway: Gateway, seed: int) -> None:
    """Ask a few times, and leave at any point: in the head, the body, the wait, the answer."""
    chance = random.Random(seed)
    for _ in range(8):
        with closing(gateway.dial()) as client, suppress(OSError):
            client.settimeout(0.2)
            words = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50_000
            client.sendall(words[: chance.choice((10, 60, 90, 30_000, len(words), len(words)))])
            for _ in range(chance.randrange(4)):
                client.recv(chance.choice((1, 100, 100_000)))
            if chance.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.slow
def test_whatever_happens_every_request_is_counted_down(gateway: Gateway) -> None:
    """Clients and backends that leave at any point, routes that change: in the end nothing is in flight."""
    with (
        backend(gateway.folder / "a.sock", Moody(1)) as one,
        backend(gateway.folder / "b.sock", Moody(2), backlog=1) as two,
        ThreadPoolExecutor(24) as pool,
    ):
        gateway.route(one.endpoint)
        asking = [pool.submit(fickle_client, gateway, seed) for seed in range(60)]
        turn = 0
        while not all(client.done() for client in asking):
            turn += 1
            gateway.route((one.endpoint, two.endpoint, None)[turn % 3], hold_seconds=0.5)
        for client in asking:
            client.result()
        gateway.route(one.endpoint)
        gateway.wait_in_flight(0)
        assert one.connections > 20
        assert two.connections > 20
        wait_until(lambda: gateway.descriptors() < 20, what="no descriptor is left behind")
        gateway.running.terminate()
        assert gateway.running.wait(10) == 0
        assert all(PROBLEM.search(line) for line in gateway.log.splitlines()), gateway.log
