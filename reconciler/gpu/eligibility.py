"""Whether a GPU is free enough for our runtimes, told over several samples."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.core.gpu import Gpu
from reconciler.core.sizes import format_bytes
from reconciler.core.types import Bytes

FREE = Bytes(2 * 1024**3)
UTILISATION_CALL = "nvmlDeviceGetUtilizationRates"
DESKTOP = Bytes(3 * 1024**3 // 2)
"""VRAM that a desktop and the driver hold together without being a reason to leave the card."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A GPU is eligible below `utilisation` percent and above `free` bytes, `samples` times in a row."""

    utilisation: int = 50
    free: Bytes = FREE
    samples: int = 3


@dataclass(frozen=True, slots=True)
class OwnUse:
    """What our own running runtimes take, so that it does not count against a GPU."""

    pids: frozenset[int] = frozenset()
    """Of the engines, not of their supervisors."""
    placed: Mapping[str, Bytes] = field(default_factory=dict)
    """GPU UUID → VRAM that our running runtimes were placed with; stands in where the driver does not list
    them, as in containers with a process namespace of their own."""


class Verdict(StrEnum):
    FREE = "free"
    BUSY = "busy"
    LOCKED = "locked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One look at one GPU."""

    verdict: Verdict
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class GpuState:
    """A GPU and what is held of it after all samples so far."""

    gpu: Gpu
    """As last seen."""
    eligible: bool
    streak: int = 0
    """Samples in a row that speak against `eligible`."""
    locked: bool = False
    hidden: bool = False
    """Not seen in the last sample, though nothing says that it is gone."""
    reason: str | None = None
    """Why the last look was not good."""


def judge(gpu: Gpu, own: OwnUse, limits: Limits, *, locked: str | None, silent: frozenset[str]) -> Judgement:
    """Judge one GPU by one sample.

    `locked` is the reason of a lockout; `silent` are the calls that failed for this GPU. Where the driver
    cannot tell the utilisation of a card at all, its memory decides alone.
    """
    if locked is not None:
        return Judgement(Verdict.LOCKED, f"locked: {locked}")
    ours = _own_bytes(gpu, own)
    free = gpu.free + ours
    if free <= limits.free:
        return Judgement(Verdict.BUSY, f"only {format_bytes(free)} of VRAM free")
    load = _foreign_load(gpu, own, ours)
    if load is not None and load >= limits.utilisation:
        return Judgement(Verdict.BUSY, f"{load} % busy with other work")
    if gpu.utilisation is None and UTILISATION_CALL in silent:
        return Judgement(Verdict.UNKNOWN, "the driver does not tell how busy it is")
    return Judgement(Verdict.FREE)


def observe(before: GpuState | None, gpu: Gpu, seen: Judgement, limits: Limits) -> GpuState:
    """Fold one judgement into what is held of a GPU.

    A first look counts at once, and so does a lockout, because a person asked for it. Otherwise it takes
    `limits.samples` looks in a row to change what is held, in both directions; an unknown changes nothing.
    """
    if seen.verdict is Verdict.LOCKED:
        return GpuState(gpu, eligible=False, locked=True, reason=seen.reason)
    if before is None:
        return GpuState(gpu, eligible=seen.verdict is not Verdict.BUSY, reason=seen.reason)
    now = replace(before, gpu=gpu, locked=False, hidden=False, reason=seen.reason)
    if seen.verdict is Verdict.UNKNOWN:
        return now
    if (seen.verdict is Verdict.FREE) == before.eligible:
        return replace(now, streak=0)
    streak = before.streak + 1
    if streak < limits.samples:
        return replace(now, streak=streak)
    return replace(now, eligible=not before.eligible, streak=0)


def _own_bytes(gpu: Gpu, own: OwnUse) -> Bytes:
    listed = sum(process.used or 0 for process in gpu.processes or () if process.pid in own.pids)
    return Bytes(min(listed or own.placed.get(gpu.uuid, 0), gpu.used))


def _foreign_load(gpu: Gpu, own: OwnUse, ours: Bytes) -> int | None:
    """Percent of the GPU's time that is not ours.

    The driver counts utilisation per process on most cards. Where it does not, a card that we use belongs to
    us as long as nothing but a desktop's worth of memory is taken by others.
    """
    if gpu.utilisation is None:
        return None
    processes = gpu.processes or ()
    we_are_listed = any(process.pid in own.pids for process in processes)
    if not we_are_listed and not ours:
        return gpu.utilisation
    if we_are_listed and all(process.utilisation is not None for process in processes):
        others = sum(process.utilisation or 0 for process in processes if process.pid not in own.pids)
        return min(others, gpu.utilisation)
    return 0 if gpu.used - ours < DESKTOP else gpu.utilisation
