"""What kind of machine this is."""

import math
import os
import platform
import sys
from pathlib import Path

from reconciler.host import cgroups


def is_apple_silicon() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def architecture() -> str:
    """`x86_64` or `aarch64` where it is one of them, whatever the system calls it."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def cpu_count(*, proc: Path = cgroups.PROC, mount: Path = cgroups.MOUNT) -> int:
    """CPUs that this process may keep busy: the machine's, cut by affinity and by the cgroup's quota."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for folder, unified in cgroups.folders("cpu", proc=proc, mount=mount):
        quota = _quota(folder, unified=unified)
        if quota is not None:
            usable = min(usable, max(1, math.ceil(quota)))
    return usable


def _quota(folder: Path, *, unified: bool) -> float | None:
    """CPUs' worth of time that a group gets, None without a limit."""
    if not unified:
        quota = cgroups.number(folder / "cpu.cfs_quota_us")
        period = cgroups.number(folder / "cpu.cfs_period_us")
        return None if quota is None or not period else quota / period
    try:
        share, length = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if share == "max" else int(share) / int(length)
