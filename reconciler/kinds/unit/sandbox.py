"""What a hardened systemd unit may see, derived from its definition."""

from dataclasses import dataclass

from reconciler.core.units import GpuAccess, UnitDefinition

_HOMES = ("/home/", "/root/", "/run/user/")
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
    """`homes` and `temporary` tell whether a needed path lies in somebody's home or below /tmp."""

    devices: tuple[str, ...]
    """Device groups for DeviceAllow=; empty: none but the harmless ones."""
    homes: bool
    temporary: bool


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
        homes=any(f"{path}/".startswith(_HOMES) for path in needed),
        temporary=any(f"{path}/".startswith(_TEMPORARY) for path in needed),
    )
