"""RAM: what the machine has, what the cgroup leaves of it, and what a unified GPU may hold."""

from pathlib import Path

from reconciler.core.errors import ModelctlError
from reconciler.core.gpu import HostMemory
from reconciler.core.types import Bytes
from reconciler.host import cgroups
from reconciler.host.machine import is_apple_silicon
from reconciler.host.process import run

_GIB = 1024**3
_SMALL_MAC = 36 * _GIB


def host_memory(*, proc: Path = cgroups.PROC, mount: Path = cgroups.MOUNT) -> HostMemory:
    """Look at RAM once. The folders are arguments for tests only."""
    import psutil  # noqa: PLC0415 - start-up time

    machine = psutil.virtual_memory()
    total, available, limited_by = machine.total, machine.available, None
    for folder, unified in cgroups.folders("memory", proc=proc, mount=mount):
        limit, file = _limit(folder, unified=unified)
        if limit is None or limit >= machine.total:
            continue
        available = min(available, max(0, limit - _held(folder, unified=unified)))
        if limit < total:
            total, limited_by = limit, str(file)
    gpu_limit, chip = None, ""
    if is_apple_silicon():
        wired = _sysctl("iogpu.wired_limit_mb")
        # 0, the system's own rule, where the setting does not exist: before macOS 14.
        gpu_limit = unified_gpu_limit(Bytes(machine.total), int(wired) if wired.isdecimal() else 0)
        chip = _sysctl("machdep.cpu.brand_string")
    return HostMemory(Bytes(total), Bytes(available), gpu_limit, chip, limited_by)


def unified_gpu_limit(total: Bytes, wired_limit_mb: int) -> Bytes:
    """How much memory Metal lets the GPU of an Apple Silicon machine with `total` RAM hold at once.

    `wired_limit_mb` is `sysctl iogpu.wired_limit_mb` in MiB, 0 while nobody has set it. Then Metal's
    `recommendedMaxWorkingSetSize` is about two thirds of RAM up to 36 GiB and three quarters above. Apple
    documents the property but not the shares: they are what users measure, and recent macOS gives large
    machines more (107.5 of 128 GiB), so this errs on the safe side.
    """
    if wired_limit_mb > 0:
        return Bytes(min(wired_limit_mb * 1024**2, total))
    return Bytes(total * 2 // 3 if total <= _SMALL_MAC else total * 3 // 4)


def _limit(folder: Path, *, unified: bool) -> tuple[int | None, Path]:
    """The lowest limit of one group; above `memory.high` a process all but stops, so that is one too."""
    if not unified:
        file = folder / "memory.limit_in_bytes"
        return cgroups.number(file), file
    found = [(value, folder / name) for name in ("memory.max", "memory.high")
             if (value := cgroups.number(folder / name)) is not None]  # fmt: skip
    return min(found, default=(None, folder / "memory.max"))


def _held(folder: Path, *, unified: bool) -> int:
    """Bytes of a group that cannot be dropped: its use without the page cache of files."""
    used = cgroups.number(folder / ("memory.current" if unified else "memory.usage_in_bytes")) or 0
    names = ("inactive_file", "active_file") if unified else ("total_inactive_file", "total_active_file")
    try:
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cache = sum(int(row[1]) for row in rows if row[0] in names)
    except OSError:
        cache = 0
    return max(0, used - cache)


def _sysctl(name: str) -> str:
    """A setting of macOS; empty where it does not exist."""
    try:
        return run(["sysctl", "-n", name], timeout=5).stdout.strip()
    except ModelctlError:
        return ""
