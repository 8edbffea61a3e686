"""What runtimes want of the machine's memory, what there is of it, and what they get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.core.operations import Operation
from reconciler.core.types import Bytes, ModelId, ProfileName, Sha256, UnitName

GENERATOR = 3
"""Raised when the same wish would be placed otherwise than before; kept placements are then made anew."""


class DeviceKind(StrEnum):
    NVIDIA = "nvidia"
    METAL = "metal"
    RPC = "rpc"


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the active profile."""

    kind: DeviceKind
    id: str
    """A UUID, the address of an RPC server, or `metal`."""
    name: str
    total: Bytes
    bandwidth: float
    """Bytes per second."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What all placements of one profile share. `ram` is what this process and its children may use."""

    profile: ProfileName
    devices: tuple[Device, ...]
    """In the profile's order."""
    ram: Bytes
    ram_bandwidth: float
    reserved_ram: Bytes
    reserved_vram: Bytes
    engine: str
    """Which build of llama.cpp serves."""
    stated_bandwidths: Mapping[str, int] = field(default_factory=dict)
    """GB per second as the spec states them, by device and for `ram`."""

    @property
    def unified(self) -> bool:
        return any(device.kind is DeviceKind.METAL for device in self.devices)


@dataclass(frozen=True, slots=True)
class Wish:
    """One runtime that is to be placed: everything about it that its placement depends on."""

    unit: UnitName
    model: ModelId
    version: str
    strategy: str
    shares: tuple[int, ...] | None
    context_tokens: int
    parallel: int
    embedding: bool
    cache_ram: Bytes
    """What it may keep of finished prompts in RAM, beyond what it was placed with."""
    flags: tuple[tuple[str, Any], ...]
    """Of its llama-server flags those that change how much memory it takes, by their canonical names."""
    artifacts: tuple[tuple[str, Sha256], ...]
    """Names and hashes of the version's files; empty while the spec does not say which bytes are meant."""
    needs: tuple[str, ...] = ()
    """Operations after which its files are in the store."""
    blocked: tuple[str, str | None] | None = None
    """Why it cannot be placed whatever the machine has, and the mending edit."""

    def key(self, ground: Ground) -> dict[str, Any]:
        """Everything that the placement was made from, but for RAM and for bandwidths that nobody stated.

        How much RAM there is depends on the kernel and on who asks (control groups), so whether a placement
        still fits into it is looked at each time instead. A driver that once does not tell a card's
        bandwidth must move nothing.
        """
        return {
            "generator": GENERATOR,
            "engine": ground.engine,
            "artifacts": dict(self.artifacts),
            "strategy": self.strategy,
            "shares": None if self.shares is None else list(self.shares),
            "context_tokens": self.context_tokens,
            "parallel": self.parallel,
            "embedding": self.embedding,
            "flags": dict(self.flags),
            "devices": [{"id": device.id, "total": device.total} for device in ground.devices],
            "bandwidths": dict(ground.stated_bandwidths),
            "reserve": {"ram": ground.reserved_ram, "vram": ground.reserved_vram},
        }


@dataclass(frozen=True, slots=True)
class Part:
    """What a runtime takes on one device, or in RAM. `layers` counts the output as one more layer."""

    id: str
    layers: int
    model: Bytes
    context: Bytes
    compute: Bytes
    beside: Bytes

    @property
    def total(self) -> Bytes:
        return Bytes(self.model + self.context + self.compute + self.beside)


@dataclass(frozen=True, slots=True)
class Record:
    """A placement as it is kept in overrides-cache."""

    runtime: UnitName
    flags: tuple[str, ...]
    devices: tuple[Part, ...]
    """Those that are used, in the order in which layers are laid out."""
    ram: Part
    expert_layers_in_ram: int
    feed_forward_in_ram: tuple[tuple[int, tuple[str, ...]], ...]
    """Of which more layers which parts of the feed-forward stay in RAM, by their names: `up`, `down_exps`."""
    feed_forward_on_next_device: tuple[tuple[int, tuple[str, ...]], ...]
    """The same of the last layers of devices, where the next device has them."""
    seconds_per_token: float
    exact: bool
    """False: the architecture is not known, so the caches are an estimate."""
    trained_context: int
    """0 where the file does not say."""
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """What tells an engine where to put a model."""

    flags: tuple[str, ...]
    """Ready to use, checked against the build like all others."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Flags that the spec's own may override."""
    visible: tuple[str, ...] = ()
    """UUIDs of the NVIDIA GPUs that the engine may see, in order."""
    peers: tuple[str, ...] = ()
    """Addresses of RPC servers that it talks to."""
    takes: Mapping[str, Bytes] = field(default_factory=dict)
    """What it takes by device, and of `ram`; empty where that is not known."""
    blocked: tuple[str, str | None] | None = None
    """Why it cannot be served, and what would help."""

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        return (("CUDA_VISIBLE_DEVICES", ",".join(self.visible)),)


@dataclass(frozen=True, slots=True)
class Placements:
    """What placing came to."""

    layouts: Mapping[UnitName, Layout] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()
