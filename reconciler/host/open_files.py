"""Which files below a folder running processes hold."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_DELETED = " (deleted)"
_MAP_FIELDS = 6
"""Address, permissions, offset, device, inode, path (proc_pid_maps(5))."""


def files_in_use(folder: Path) -> dict[str, int]:
    """Paths relative to `folder` that a process has open, mapped or named on its command line → its pid.

    A command line counts because a server that read its model into memory needs the file again when it is
    restarted. Of other users' processes only the command line may be visible.
    """
    import psutil  # noqa: PLC0415 - costs 20 ms

    roots = {f"{path}/" for path in (folder.absolute(), folder.resolve())}
    found: dict[str, int] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            found |= dict.fromkeys(_below(process.cmdline(), roots), process.pid)
        with suppress(psutil.Error, OSError):
            found |= dict.fromkeys(_below((f.path for f in process.open_files()), roots), process.pid)
        with suppress(OSError):
            found |= dict.fromkeys(_below(_mapped(process.pid), roots), process.pid)
    return found


def _mapped(pid: int) -> Iterator[str]:
    if sys.platform != "linux":
        return
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(maxsplit=_MAP_FIELDS - 1)
        if len(fields) == _MAP_FIELDS:
            yield fields[-1]


def _below(texts: Iterator[str] | list[str], roots: set[str]) -> Iterator[str]:
    """What the texts say behind a root: a path, or an argument that ends in one."""
    for text in texts:
        for root in roots:
            _, found, path = text.partition(root)
            if found:
                yield path.removesuffix(_DELETED)
