"""What the operating system says of a process."""

import sys
from contextlib import suppress
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _START = 0, 19
"""Places of the fields `state` and `starttime` behind the name (proc_pid_stat(5))."""


def birth(pid: int) -> str | None:
    """When a process began, in words that no later process with its number has; None when it has ended."""
    if sys.platform != "linux":
        return _birth_elsewhere(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    boot = ""
    with suppress(OSError):  # some containers hide it
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return None if fields[_STATE] == "Z" else f"{boot} {fields[_START]}"


def _birth_elsewhere(pid: int) -> str | None:
    import psutil  # noqa: PLC0415 - costs 20 ms

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process in bytes; None when it is gone or may not be asked."""
    import psutil  # noqa: PLC0415 - costs 20 ms, and only `status` wants it

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
