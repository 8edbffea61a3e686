"""Words for what a disk can answer."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.core.errors import StoreError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space there and run again; a download goes on"),
    errno.EDQUOT: ("the disk quota is used up", "free some space there and run again; a download goes on"),
    errno.EFBIG: ("the file is larger than is allowed here", "raise the limit (`ulimit -f`) and run again"),
    errno.EROFS: ("the file system is read-only", "set `settings.store` to a folder that can be written"),
    errno.EACCES: ("permission denied", "run as the user who owns the store"),
    errno.EPERM: ("permission denied", "run as the user who owns the store"),
    errno.EIO: ("the disk failed", "check the disk (`dmesg`), then run again"),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n 4096`) and run again"),
}


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise what the disk under `folder` answers as StoreError."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason, hint = _REASONS.get(number, (error.strerror or str(error), f"look at {folder} and its disk"))
        raise StoreError(f"{folder}: {reason}", hint=hint) from error
