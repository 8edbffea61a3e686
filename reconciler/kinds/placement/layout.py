"""From a split to what an engine is told: flags, visible GPUs, peers. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.core.types import Bytes
from reconciler.kinds.placement.types import Device, DeviceKind, Ground, Layout, Record, Wish

if TYPE_CHECKING:
    from reconciler.placement.split import Placement

MIB = 1024**2
_ALL_LAYERS = "999"
"""More than any model has: all of them, in every build; the word `all` is younger."""
ON_CPU = ("--device", "none")


def placed_flags(placement: "Placement", ground: Ground) -> tuple[str, ...]:
    """The flags of a split, with the devices by the names that llama.cpp gives them.

    CUDA counts what CUDA_VISIBLE_DEVICES lets it see, and an RPC server is named by its place in `--rpc`.
    """
    used = [device for id_ in placement.devices for device in ground.devices if device.id == id_]
    return (*_remote(used), *placement.flags(_buffers(used)))


def of_record(record: Record, wish: Wish, ground: Ground) -> Layout:
    """How a placement that is kept reaches the engine."""
    by_id = {device.id: device for device in ground.devices}
    used = [by_id[part.id] for part in record.devices]
    if wish.strategy == "fit" and ground.devices:
        return _fitting(ground)
    if wish.strategy == "tensor-overrider":
        return replace(_everything(ground, record.flags), takes=_takes(record, ground))
    return Layout(record.flags, visible=_visible(used), peers=_peers(used), takes=_takes(record, ground))


def _takes(record: Record, ground: Ground) -> dict[str, Bytes]:
    """By device and of RAM; a unified GPU has no memory of its own."""
    devices = {part.id: part.total for part in record.devices}
    if ground.unified:
        return {"ram": Bytes(record.ram.total + sum(devices.values()))}
    return {**devices, "ram": record.ram.total}


def without_header(wish: Wish, ground: Ground, blocked: tuple[str, str | None] | None = None) -> Layout:
    """The simplest layout, which needs to know nothing of the model.

    All layers on the profile's devices by the given shares; without shares llama.cpp splits by free memory.
    """
    if wish.strategy == "manual":
        return _everything(ground, (), blocked)
    if wish.strategy == "fit" and ground.devices:
        return _fitting(ground, blocked)
    if not ground.devices:
        return Layout(ON_CPU, blocked=blocked)
    flags: tuple[str, ...] = ("--gpu-layers", _ALL_LAYERS)
    if len(ground.devices) > 1:
        flags = (*flags, "--split-mode", "layer")
        if wish.shares is not None:
            flags = (*flags, "--tensor-split", ",".join(map(str, wish.shares)))
    return _everything(ground, flags, blocked)


def _everything(
    ground: Ground, flags: tuple[str, ...], blocked: tuple[str, str | None] | None = None
) -> Layout:
    devices = ground.devices
    return Layout(
        (*_remote(devices), *flags), visible=_visible(devices), peers=_peers(devices), blocked=blocked
    )


def _fitting(ground: Ground, blocked: tuple[str, str | None] | None = None) -> Layout:
    """llama.cpp fits the model by itself, into what is free above the reserve."""
    devices = ground.devices
    target = str(ground.reserved_vram // MIB)
    return Layout(
        _remote(devices),
        settings={"fit": "on", "fit-target": target},
        visible=_visible(devices),
        peers=_peers(devices),
        blocked=blocked,
    )


def _remote(devices: Sequence[Device]) -> tuple[str, ...]:
    peers = _peers(devices)
    if not peers:
        return ()
    local = [f"CUDA{number}" for number in range(len(_visible(devices)))]
    local += ["MTL0" for device in devices if device.kind is DeviceKind.METAL]
    names = [*local, *(f"RPC{number}" for number in range(len(peers)))]
    return ("--rpc", ",".join(peers), "--device", ",".join(names))


def _buffers(devices: Sequence[Device]) -> list[str]:
    """What llama.cpp calls the memory of each device; a peer counts its own."""
    visible = _visible(devices)
    names = []
    for device in devices:
        match device.kind:
            case DeviceKind.NVIDIA:
                names.append(f"CUDA{visible.index(device.id)}")
            case DeviceKind.RPC:
                names.append(f"RPC0[{device.id}]")
            case DeviceKind.METAL:
                names.append("MTL0")
    return names


def _visible(devices: Sequence[Device]) -> tuple[str, ...]:
    return tuple(device.id for device in devices if device.kind is DeviceKind.NVIDIA)


def _peers(devices: Sequence[Device]) -> tuple[str, ...]:
    return tuple(device.id for device in devices if device.kind is DeviceKind.RPC)
