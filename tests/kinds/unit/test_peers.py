"""Units that talk to servers elsewhere: how far systemd lets them, and what that does to their hash."""

import pytest

from reconciler.core.units import SupervisorKind
from reconciler.kinds.unit import sandbox
from tests.support.units import a_definition, rendered


def _lines(**changes: object) -> set[str]:
    text = rendered(SupervisorKind.SYSTEMD, **changes)
    names = ("IPAddress", "PrivateNetwork", "RestrictAddressFamilies")
    return {line for line in text.splitlines() if line.startswith(names)}


_INTERNET = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"


def test_a_unit_without_peers_reaches_only_this_machine() -> None:
    assert _lines() == {_INTERNET, "IPAddressDeny=any", "IPAddressAllow=localhost"}


def test_a_unit_with_peers_reaches_them_and_nobody_else() -> None:
    peers = ("192.168.7.2:50052", "[fd00::7]:50052", "127.0.0.1:50053")
    allowed = "IPAddressAllow=localhost 192.168.7.2 fd00::7"
    assert _lines(peers=peers) == {_INTERNET, "IPAddressDeny=any", allowed}


def test_a_unit_on_a_unix_socket_reaches_its_peers_alone() -> None:
    wanted = {_INTERNET, "IPAddressDeny=any", "IPAddressAllow=10.0.0.2"}
    assert _lines(loopback=False, peers=("10.0.0.2:50052",)) == wanted


def test_a_unit_on_a_unix_socket_without_peers_has_no_network() -> None:
    wanted = {"RestrictAddressFamilies=AF_UNIX", "PrivateNetwork=yes", "IPAddressDeny=any"}
    assert _lines(loopback=False) == wanted


def test_a_peer_known_by_name_shuts_out_nobody() -> None:
    """Its address is asked for by the engine, from a name server that is no peer."""
    assert _lines(peers=("192.168.7.2:50052", "box.example:50052")) == {_INTERNET, "IPAddressAllow=any"}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("10.0.0.2:1", "10.0.0.2"),
        ("[fe80::1%eth0]:1", "fe80::1"),
        ("[FD00:0:0::7]:1", "fd00::7"),
        ("[::1]:1", "localhost"),
        ("127.0.1.1:1", "localhost"),
        ("localhost:1", "localhost"),
    ],
)
def test_an_address_is_written_as_systemd_reads_it(peer: str, address: str) -> None:
    assert sandbox.of(a_definition(loopback=False, peers=(peer,))).addresses == (address,)


def test_units_without_peers_keep_the_hash_of_earlier_releases() -> None:
    """Otherwise the release that brought peers would restart every model."""
    definition = a_definition()
    assert definition.config_hash == "1:b9f74a5c897dc374"
    assert a_definition(peers=()).config_hash == definition.config_hash
    assert a_definition(peers=("10.0.0.2:1",)).config_hash != definition.config_hash
