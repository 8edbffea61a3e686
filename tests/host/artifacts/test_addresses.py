"""Downloads reach public addresses, and others only where the user said so."""

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.addresses import AddressPolicy, connect, is_public
from reconciler.host.artifacts.errors import TransientError
from tests.support.artifacts import FILE, REPO, fetch, fetcher, sha256_of, some_bytes
from tests.support.hub import Hub

CONTENT = some_bytes(1000)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_addresses_that_no_download_may_go_to(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name leads to this machine; the list tells which were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, **rest: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", port, **rest)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_that_leads_into_this_machine_is_refused(names: list[str]) -> None:
    with pytest.raises(
        SourceError, match=r"models.example is at the private or special address 127.0.0.1"
    ) as caught:
        connect("models.example", 443, AddressPolicy(), 1.0)
    assert caught.value.hint is not None
    assert "settings.sources.allow_private" in caught.value.hint


def test_a_name_that_leads_to_an_allowed_address_is_not_allowed_by_that(names: list[str]) -> None:
    with pytest.raises(SourceError, match="private or special"):
        connect("models.example", 443, AddressPolicy(frozenset({"127.0.0.1"})), 1.0)


def test_an_allowed_name_is_looked_up_once_for_each_connection(
    tmp_path: Path, hub: Hub, names: list[str]
) -> None:
    hub.add(REPO, FILE, CONTENT)
    url = f"http://Models.Example:{hub.port}/{REPO}/resolve/main/{FILE}"
    got = fetch(fetcher(tmp_path, hub, allow_private=("models.example",)), url)
    assert got.sha256 == sha256_of(CONTENT)
    assert names == ["models.example", "127.0.0.1"]  # the second is the "CDN", where the hub redirects to


def test_an_address_of_this_machine_is_refused_even_where_the_hub_is_on_it(tmp_path: Path, hub: Hub) -> None:
    hub.add(REPO, FILE, CONTENT)
    with pytest.raises(SourceError, match="not encrypted"):
        fetch(fetcher(tmp_path, hub), f"http://localhost:{hub.port}/a.gguf")
    with pytest.raises(SourceError, match="private or special"):
        fetch(fetcher(tmp_path, hub), f"https://localhost:{hub.port}/a.gguf")
    assert not hub.requests


def test_a_port_where_nobody_listens_is_worth_another_try() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError, match=r"cannot reach 127.0.0.1"):
            connect("127.0.0.1", unused.getsockname()[1], AddressPolicy(frozenset({"127.0.0.1"})), 1.0)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300, "bad..name"])
def test_a_host_that_does_not_exist_is_a_source_error(host: str) -> None:
    with pytest.raises(SourceError):
        connect(host, 443, AddressPolicy(), 1.0)
