"""A file on its way into the store: its bytes, which of them are safe on disk, and who is filling it."""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.errors import StoreError
from reconciler.host.artifacts.ranges import Ranges
from reconciler.host.files import atomic_write

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a download knew when it last saved: enough to go on after a crash or a reboot."""

    size: int
    etag: str | None
    finished: tuple[tuple[int, int], ...]
    """Only what was fsynced before it was written down here."""


class Partial:
    """Made by `open_partial`, which holds the lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @property
    def sidecar(self) -> Path:
        return self.path.with_suffix(".json")

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`; OSError where the disk is full or broken."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            offset += written
            view = view[written:]

    def read_at(self, offset: int, buffer: memoryview) -> int:
        return os.preadv(self.descriptor, [buffer], offset)

    def allocated(self) -> int:
        """Bytes of disk that it takes already."""
        return os.fstat(self.descriptor).st_blocks * 512

    def remembered(self) -> Remembered | None:
        """What the last download saved; None where nothing, or nothing sensible, is there."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            document: dict[str, Any] = json.loads(self.sidecar.read_text())
            known = Remembered(
                size=int(document["size"]),
                etag=None if document["etag"] is None else str(document["etag"]),
                finished=tuple((int(start), int(end)) for start, end in document["finished"]),
            )
            longest = os.fstat(self.descriptor).st_size
            sensible = all(0 <= start < end <= min(longest, known.size) for start, end in known.finished)
            if document["format_version"] == FORMAT_VERSION and sensible and known.finished:
                return known
        return None

    def remember(self, size: int, etag: str | None, written: Ranges) -> None:
        """Make `written` outlive a crash: first the bytes, then the note that they are there."""
        finished = list(written.spans)
        self.sync()
        document = {"format_version": FORMAT_VERSION, "size": size, "etag": etag, "finished": finished}
        atomic_write(self.sidecar, json.dumps(document), 0o600)

    def sync(self) -> None:
        """Make the bytes outlive a power cut. After a failure the kernel may have dropped them."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            self.discard()
            raise StoreError(
                f"{self.path}: what was downloaded cannot be made safe on disk: {error.strerror}",
                hint="check the disk and its free space (`dmesg`, `df -h`), then run again",
            ) from error

    def reset(self) -> None:
        """Begin again with nothing."""
        self.sidecar.unlink(missing_ok=True)
        os.ftruncate(self.descriptor, 0)

    def discard(self) -> None:
        """Remove it and what was remembered of it."""
        self.sidecar.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    @property
    def moved(self) -> bool:
        """Whether the path no longer names this file: whoever held the lock before has finished."""
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            return True
        held = os.fstat(self.descriptor)
        return (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)


@contextmanager
def open_partial(folder: Path, key: str, on_wait: Callable[[], None]) -> Iterator[Partial]:
    """The partial file for `key`, locked against other processes while the context lasts.

    Look at `moved` first. `on_wait` is called once where another process holds the lock; the kernel releases
    the lock of a process that dies. StoreError where something else than a plain file is in the way.
    """
    path = folder / f"{key}.part"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", hint=f"look at {path} and at its folder") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path} is not a plain file", hint=f"remove {path} and run again")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Partial(path, descriptor)
    finally:
        os.close(descriptor)
