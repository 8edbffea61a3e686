"""Take a file of another program's store into ours without a second copy of its bytes, where that can be."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from reconciler.core.errors import IntegrityError
from reconciler.core.types import Sha256
from reconciler.host.artifacts.partial import Partial
from reconciler.host.artifacts.store import Store
from reconciler.host.artifacts.transfer import Progress

_CHUNK = 8 * 1024**2
_NO_LINK = {
    errno.EPERM,
    errno.EACCES,
    errno.EXDEV,
    errno.EMLINK,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
}


def link_blob(
    store: Store, path: Path, expected: Sha256, progress: Progress, on_wait: Callable[[], None]
) -> bool:
    """Hard-link `path` as a blob and hash it; False where the file system or its owner does not let us.

    The file becomes read-only for both stores, which takes its owner or root. Ollama only ever makes and
    removes blobs; a write into one would change its time, and end our trust in it. IntegrityError where
    the bytes are not the expected ones, or change meanwhile; then nothing was taken.
    """
    while True:
        with store.partial(expected, on_wait) as held:
            if held.moved:
                continue
            try:
                return store.has(expected) or _link(store, path, held.path, expected, progress)
            finally:
                if held.remembered() is None:
                    held.discard()


def _link(store: Store, path: Path, beside: Path, expected: Sha256, progress: Progress) -> bool:
    # Never under a partial file's own name: those are truncated when a download begins again.
    linked = beside.with_suffix(".link")
    linked.unlink(missing_ok=True)
    try:
        if os.geteuid() not in {0, path.lstat().st_uid}:
            return False
        os.link(path, linked, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    try:
        _admit(store, linked, expected, progress)
    finally:
        linked.unlink(missing_ok=True)
    return True


def _admit(store: Store, linked: Path, expected: Sha256, progress: Progress) -> None:
    descriptor = os.open(linked, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise IntegrityError(f"{linked} is not a plain file")
        found = _hash(descriptor, before.st_size, progress)
        after = os.fstat(descriptor)
        untouched = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if found != expected or not untouched:
            raise IntegrityError(
                f"the file of Ollama's store has sha256 {found}, expected was {expected}; it was not taken",
                hint="pull the model again with Ollama",
            )
        store.admit(Partial(linked, descriptor), expected)
    finally:
        os.close(descriptor)


def _hash(descriptor: int, size: int, progress: Progress) -> Sha256:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    done = 0
    while count := os.readv(descriptor, [buffer]):
        digest.update(buffer[:count])
        done += count
        progress(done, size)
    return Sha256(digest.hexdigest())
