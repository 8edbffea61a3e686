"""Which network addresses a download may reach, checked on the very address that is connected to.

A name is resolved once and the connection goes to the address that was checked, so that a second answer of
a hostile DNS server (rebinding) is never used.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.errors import TransientError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses are reachable; others only by a host that is allowed as it stands in the address.

    A name that merely leads to an allowed address is not allowed: whoever owns the name chose that address.
    """

    allowed: frozenset[str] = frozenset()

    def allows_host(self, host: str) -> bool:
        """Whether the user named this host as one that may be private and may speak plain HTTP."""
        return _canonical(host) in {_canonical(name) for name in self.allowed}

    def allows_address(self, host: str, address: Address) -> bool:
        return is_public(address) or self.allows_host(host)


def is_public(address: Address) -> bool:
    """Whether the whole internet may be behind it; addresses that embed an IPv4 one are judged by that."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded:
            return is_public(embedded)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast


def connect(host: str, port: int, policy: AddressPolicy, timeout: float) -> socket.socket:
    """A TCP connection to the first address of `host` that is allowed and answers within `timeout` seconds.

    SourceError where no address is allowed; TransientError where none answers.
    """
    refused: list[str] = []
    failure: OSError | None = None
    for family, address, target in _resolve(host, port):
        if not policy.allows_address(host, address):
            refused.append(str(address))
            continue
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(target)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
            continue
        return connection
    if failure is not None:
        reason = "no answer" if isinstance(failure, TimeoutError) else failure.strerror or str(failure)
        raise TransientError(f"cannot reach {host}:{port}: {reason}")
    raise SourceError(
        f"{host} is at the private or special address {', '.join(refused)}, where downloads may not go",
        hint=f"if that is meant, add {host} to settings.sources.allow_private in the spec",
    )


def _resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, Address, Any]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise SourceError(f"there is no host {host}", hint="check the name and the network") from None
        raise TransientError(f"cannot look up {host}: {error.strerror}") from None
    except UnicodeError:
        raise SourceError(f"{host!r} is no host name", hint="check the source in the spec") from None
    return [
        # A scope (`%eth0`) belongs to the interface, not to the address.
        (family, ipaddress.ip_address(str(target[0]).partition("%")[0]), target)
        for family, _, _, _, target in found
    ]


def _canonical(host: str) -> str:
    name = host.strip().strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
