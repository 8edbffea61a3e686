"""What a hardened systemd unit may see, derived from its definition."""

from dataclasses import dataclass

from reconciler.core.units import GpuAccess, UnitDefinition

_TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108 - recognised, not used
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
    )
