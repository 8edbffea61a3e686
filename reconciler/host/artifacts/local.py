"""Copy a file of the user's into a partial file.

Never a hard link: the user may write to the file later, and that must not reach the store. Where the file
system shares blocks between files (btrfs, XFS, APFS clones over `copy_file_range`), the kernel may do so; the
copy is hashed either way, so what is hashed is what is kept.
"""

import errno
import hashlib
import os
import stat
from pathlib import Path

from reconciler.core.errors import SourceError
from reconciler.core.types import Bytes, Sha256
from reconciler.host.artifacts.partial import Partial
from reconciler.host.artifacts.transfer import Means, Received

_CHUNK = 8 * 1024**2
_CANNOT_SHARE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM}


def copy_file(path: Path, partial: Partial, means: Means) -> Received:
    """Copy `path` and hash the copy; SourceError where it is no plain file, is empty or changes meanwhile."""
    try:
        # Non-blocking, so that a named pipe is refused instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", hint="check the path in the spec") from None
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise SourceError(f"{path} is not a plain file", hint="name the GGUF itself")
        if before.st_size == 0:
            raise SourceError(f"{path} is empty", hint="check the path in the spec")
        partial.reset()
        means.require_space(before.st_size)
        sha256 = _copy_and_hash(descriptor, partial, before.st_size, means)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceError(f"{path} was written to while it was copied", hint="wait until it is complete")
    return Received(sha256, Bytes(before.st_size), resumed=False)


def _copy_and_hash(source: int, partial: Partial, size: int, means: Means) -> Sha256:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    position = 0
    while position < size:
        copied = _copy_range(source, partial.descriptor, position, min(_CHUNK, size - position))
        count = partial.read_at(position, buffer[:copied])
        if count == 0:
            raise SourceError("the file became shorter while it was copied", hint="wait until it is complete")
        digest.update(buffer[:count])
        position += count
        means.progress(position, size)
    return Sha256(digest.hexdigest())


def _copy_range(source: int, target: int, position: int, count: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, count, position, position)
        except OSError as error:
            if error.errno not in _CANNOT_SHARE:
                raise
    return os.pwrite(target, os.pread(source, count, position), position)
