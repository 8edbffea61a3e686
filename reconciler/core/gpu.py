"""GPUs and memory as they were seen at one moment, and what stood in the way of seeing them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.core.types import Bytes


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process on one GPU."""

    pid: int
    used: Bytes | None
    """VRAM; None where the driver does not tell."""
    utilisation: int | None = None
    """Percent of the last two seconds, of the compute units; None where the driver keeps no such count."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device that a runtime can be given: a card, or a MIG slice of one.

    None stands for what the device cannot tell or did not tell; in the second case a condition says why.
    """

    uuid: str
    """`GPU-…` or `MIG-…`, as CUDA_VISIBLE_DEVICES takes it."""
    index: int
    """Place on the bus (of the card, for a slice); it changes with the set of cards, so it is no key."""
    name: str
    total: Bytes
    free: Bytes
    utilisation: int | None
    """Percent of the time in which something ran."""
    temperature: int | None
    """Degrees Celsius."""
    power: float | None
    """Watts."""
    processes: tuple[GpuProcess, ...] | None
    bandwidth: float | None = None
    """Bytes per second that can be read of its memory at most."""

    @property
    def used(self) -> Bytes:
        return Bytes(self.total - self.free)


class GpuTrouble(StrEnum):
    """Why something about GPUs is not known."""

    NO_LIBRARY = "no-library"
    NO_DRIVER = "no-driver"
    VERSION_MISMATCH = "version-mismatch"
    NO_PERMISSION = "no-permission"
    GPU_LOST = "gpu-lost"
    RESET_REQUIRED = "reset-required"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    FAILED = "failed"

    @property
    def gone(self) -> bool:
        """Whether nothing can run on the GPU until somebody acts."""
        return self in (GpuTrouble.GPU_LOST, GpuTrouble.RESET_REQUIRED)


@dataclass(frozen=True, slots=True)
class GpuCondition:
    """One call that failed, and what that means."""

    trouble: GpuTrouble
    call: str
    """The function of the driver's library, or of the loader's."""
    message: str
    hint: str | None
    index: int | None = None
    """The GPU that was asked; None: the whole machine."""
    uuid: str | None = None
    """Of that GPU, where it was known by then."""
    hides: bool = False
    """The GPU (or, without an index, every GPU) may be well but is missing in the survey."""
    is_fault: bool = True
    """False for what only costs a figure, and for a machine that simply has no NVIDIA driver installed."""


@dataclass(frozen=True, slots=True)
class GpuSurvey:
    """Every GPU that answered, in bus order, and every call that failed."""

    gpus: tuple[Gpu, ...]
    conditions: tuple[GpuCondition, ...] = ()
    driver: str | None = None
    """Version of the NVIDIA driver."""

    def may_be_hidden(self, uuid: str) -> bool:
        """Whether a GPU that is not listed could still be there and well.

        True after a failure that says nothing about the card, such as a time-out or a library that does not
        match the driver. What runs on such a GPU is best left alone.
        """
        if any(gpu.uuid == uuid for gpu in self.gpus):
            return False
        if any(c.uuid == uuid and c.trouble.gone for c in self.conditions):
            return False
        return any(c.hides and c.uuid in (None, uuid) for c in self.conditions)

    def silent_about(self, uuid: str) -> frozenset[str]:
        """Calls that failed for one listed GPU."""
        return frozenset(c.call for c in self.conditions if c.uuid == uuid)


@dataclass(frozen=True, slots=True)
class HostMemory:
    """RAM that this process and what it starts may use: the machine's, or less where a cgroup says so."""

    total: Bytes
    available: Bytes
    """Usable without swapping; page cache that can be dropped counts as available."""
    unified_gpu_limit: Bytes | None = None
    """On Apple Silicon: how much of `total` the GPU may hold at once. None: RAM is no GPU memory here."""
    unified_gpu_name: str = ""
    """What such a machine calls its chip (`Apple M2 Ultra`); empty where it does not say."""
    limited_by: str | None = None
    """The cgroup file whose limit is below the machine's RAM."""


@dataclass(frozen=True, slots=True)
class LockoutText:
    """A lockout file as it was found; neither `text` nor `problem` where there is none."""

    path: str
    text: str | None = None
    written: datetime | None = None
    """Its last change, with the offset to UTC that its times of day are meant in."""
    problem: str | None = None
    """Why it could not be read."""
