"""Put a new folder in an old one's place in one step, where the system can."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_LINUX_EXCHANGE = 2  # RENAME_EXCHANGE, renameat2(2)
_MACOS_SWAP = 2  # RENAME_SWAP, renamex_np(2)
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def exchange(one: Path, other: Path) -> None:
    """Swap two existing paths of one file system; both names exist at every moment.

    Where the file system cannot, `other` is moved aside first: a crash between the two steps leaves its name
    free.
    """
    if not _swap(os.fsencode(one), os.fsencode(other)):
        aside = one.with_name(f"{one.name}.aside")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)


def _swap(one: bytes, other: bytes) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        failed = library.renamex_np(one, other, _MACOS_SWAP)
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _LINUX_EXCHANGE)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), os.fsdecode(other))
