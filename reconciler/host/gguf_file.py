"""A local file as the reader of bytes that a GGUF header is read by."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.core.errors import SourceError

LOCAL_READ = 256 * 1024
"""Small enough that the allocator reuses its memory; larger reads cost page faults and save nothing."""


class LocalFile:
    """A file on this machine as a reader of bytes; `size` is its length in bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def __call__(self, offset: int, size: int, /) -> bytes:
        return os.pread(self._descriptor, min(size, LOCAL_READ), offset)


@contextmanager
def open_local(path: Path) -> Iterator[LocalFile]:
    """Raises SourceError when the file cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    try:
        yield LocalFile(descriptor)
    finally:
        os.close(descriptor)
