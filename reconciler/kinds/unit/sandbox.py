"""What a hardened systemd unit may see, derived from its definition."""

from dataclasses import dataclass

from reconciler.core.units import GpuAccess, UnitDefinition

_HOMES = ("/home/", "/root/", "/run/user/")
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
    """`devices` are systemd device groups; `homes` tells whether a needed path lies in somebody's home."""

    devices: tuple[str, ...]
    homes: bool


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
    )
