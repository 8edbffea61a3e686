"""The control groups that bound this process on Linux, both versions of them."""

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
MOUNT = Path("/sys/fs/cgroup")


def folders(controller: str, *, proc: Path = PROC, mount: Path = MOUNT) -> Iterator[tuple[Path, bool]]:
    """The folders whose limits of `controller` hold for this process, the nearest first.

    The flag is True for version 2. Elsewhere than on Linux there are none. In a container the path that the
    kernel names can lie outside what is mounted; then the root of the mount is the container's own group.
    """
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            yield from ((folder, False) for folder in _upwards(mount / controller, path))
            return
    for line in lines:
        hierarchy, _, path = line.split(":", 2)
        if hierarchy == "0" and (mount / "cgroup.controllers").exists():
            yield from ((folder, True) for folder in _upwards(mount, path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for depth in range(len(parts), -1, -1):
        folder = root.joinpath(*parts[:depth])
        if folder.is_dir():
            yield folder


def number(file: Path) -> int | None:
    """The one number that a file holds; None for `max`, `-1`, or a file that is not there."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
