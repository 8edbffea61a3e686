"""What a service manager hears."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.host.sd_notify import ServiceNotifier


@pytest.fixture
def manager() -> Iterator[tuple[socket.socket, str]]:
    with (
        TemporaryDirectory(prefix="msn") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        path = str(Path(folder) / "notify")
        channel.bind(path)
        channel.settimeout(5)
        yield channel, path


def test_it_is_ready_has_a_status_and_ends(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, path = manager
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    notifier = ServiceNotifier()
    notifier.ready()
    notifier.status("two\nlines")
    notifier.stopping()
    assert [channel.recv(99) for _ in range(3)] == [b"READY=1", b"STATUS=two lines", b"STOPPING=1"]


def test_the_watchdog_is_fed_only_while_somebody_promised_to_be_alive(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, path = manager
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    notifier = ServiceNotifier()
    notifier.alive_for(0.2)
    assert channel.recv(99) == b"WATCHDOG=1"
    channel.settimeout(0.5)
    with pytest.raises(TimeoutError):
        _drain(channel)


def test_children_cannot_speak_for_us(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setenv("NOTIFY_SOCKET", manager[1])
    ServiceNotifier()
    assert "NOTIFY_SOCKET" not in os.environ


def test_without_a_manager_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ServiceNotifier().ready()


def _drain(channel: socket.socket) -> None:
    for _ in range(1000):
        channel.recv(99)
