"""What a hardened systemd unit may see, derived from its definition."""

import ipaddress
from dataclasses import dataclass

from reconciler.core.units import GpuAccess, UnitDefinition

_TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108 - recognised, not used
_LOCALHOST = "localhost"
_DEVICES = {
    GpuAccess.NONE: (),
    GpuAccess.NVIDIA: (
        "char-nvidia",
        "char-nvidia-frontend",
        "char-nvidiactl",
        "char-nvidia-uvm",
        "char-nvidia-caps",
    ),
    GpuAccess.AMD: ("char-drm", "char-kfd"),
}


@dataclass(frozen=True, slots=True)
class Sandbox:
    devices: tuple[str, ...]
    """Device groups for DeviceAllow=; empty: none but the harmless ones."""
    temporary: bool
    """Whether a needed path lies below /tmp, so that the unit cannot have a /tmp of its own."""
    network: bool
    """Whether it needs more than UNIX sockets."""
    addresses: tuple[str, ...] | None
    """All that it may talk to, for IPAddressAllow=. None: a peer is known by name only: the engine asks a
    name server, which is no peer, what the name stands for, and nobody can be shut out."""


def of(definition: UnitDefinition) -> Sandbox:
    needed = (
        definition.argv[0],
        definition.working_directory,
        definition.log_path or "",
        *definition.read_paths,
        *definition.write_paths,
    )
    return Sandbox(
        devices=_DEVICES[definition.gpu],
        temporary=any(f"{path}/".startswith(_TEMPORARY) for path in needed),
        network=definition.loopback or bool(definition.peers),
        addresses=_addresses(definition),
    )


def _addresses(definition: UnitDefinition) -> tuple[str, ...] | None:
    found = {_LOCALHOST: None} if definition.loopback else {}
    for peer in definition.peers:
        address = _address(peer)
        if address is None:
            return None
        found[address] = None
    return tuple(found)


def _address(peer: str) -> str | None:
    """The address in `host:port`, without a zone, which systemd's filter does not know; None for a name."""
    host = peer.rpartition(":")[0].strip("[]")
    if host == _LOCALHOST:
        return _LOCALHOST
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return _LOCALHOST if address.is_loopback else str(address)
