"""The gateway's end."""

import http.client
import os
import signal
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateway.backends import Peer, backend, says
from tests.gateway.process import Gateway, gateway_process
from tests.support.waiting import wait_until


def test_requests_under_way_finish(gateway: Gateway) -> None:
    release = threading.Event()

    def slowly(peer: Peer) -> None:
        peer.request()
        peer.stream()
        peer.chunk(b"begun ")
        release.wait(30)
        peer.chunk(b"and ended")
        peer.chunk(b"")

    with backend(gateway.folder / "a.sock", slowly) as a, closing(gateway.connection()) as client:
        gateway.route(a.endpoint)
        client.request("GET", "/")
        response = client.getresponse()
        assert response.read1(6) == b"begun "
        gateway.running.terminate()
        wait_until(lambda: not gateway.control.exists(), what="the control socket is gone")
        with pytest.raises(ConnectionRefusedError):
            gateway.dial()
        release.set()
        assert response.read() == b"and ended"
        assert gateway.running.wait(10) == 0


def test_idle_connections_do_not_keep_it(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", says(b"a")) as a, closing(gateway.connection()) as client:
        gateway.route(a.endpoint)
        client.request("GET", "/")
        client.getresponse().read()
        begin = time.monotonic()
        gateway.running.terminate()
        assert gateway.running.wait(10) == 0
        assert time.monotonic() - begin < 4


def test_who_waits_for_a_backend_is_sent_away(gateway: Gateway) -> None:
    gateway.route(None)
    with closing(gateway.connection()) as client:
        client.request("GET", "/")
        client.sock.settimeout(4)
        for _ in range(3):
            gateway.status()  # by then it has seen the request too
        gateway.running.terminate()
        assert client.getresponse().status == 503
        assert gateway.running.wait(10) == 0


def never(peer: Peer) -> None:
    peer.request()
    peer.gone()


@pytest.mark.slow
def test_a_request_that_never_ends_is_cut_off_after_five_seconds(gateway: Gateway) -> None:
    with backend(gateway.folder / "a.sock", never) as a, closing(gateway.connection()) as client:
        gateway.route(a.endpoint)
        client.request("GET", "/")
        gateway.wait_in_flight(1)
        begin = time.monotonic()
        gateway.running.terminate()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            client.getresponse()
        assert gateway.running.wait(10) == 0
        assert 4.5 < time.monotonic() - begin < 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(gateway: Gateway, number: signal.Signals) -> None:
    with backend(gateway.folder / "a.sock", never) as a, closing(gateway.connection()) as client:
        gateway.route(a.endpoint)
        client.request("GET", "/")
        gateway.wait_in_flight(1)
        begin = time.monotonic()
        gateway.running.send_signal(number)
        wait_until(lambda: not gateway.control.exists(), what="the control socket is gone")
        gateway.running.send_signal(number)
        assert gateway.running.wait(10) == 0
        assert time.monotonic() - begin < 4


def test_the_service_manager_hears_when_it_is_ready_and_when_it_ends(folder: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(20)
        environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify")}
        with gateway_process(folder, env=environment) as gateway:
            assert manager.recv(99) == b"READY=1"
            gateway.running.terminate()
            assert manager.recv(99) == b"STOPPING=1"
            assert gateway.running.wait(10) == 0


def test_a_gateway_that_ends_leaves_the_socket_of_its_successor(gateway: Gateway) -> None:
    gateway.control.unlink()
    with gateway_process(gateway.folder) as successor:
        gateway.running.terminate()
        gateway.running.wait(10)
        assert successor.status().pid == successor.running.pid
