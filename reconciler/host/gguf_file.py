"""A local file as the reader of bytes that a GGUF header is read by.

It imports little on purpose: `pathlib` and `contextlib` would take longer than the reading.
"""

import os
from typing import Self

from reconciler.core.errors import SourceError

LOCAL_READ = 64 * 1024
"""Small enough that the allocator reuses its memory; larger reads cost page faults and save nothing."""


class LocalFile:
    """A file on this machine as a reader of bytes, for `with`; `size` is its length in bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def __call__(self, offset: int, size: int, /) -> bytes:
        return os.pread(self._descriptor, min(size, LOCAL_READ), offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        os.close(self._descriptor)


def open_local(path: os.PathLike[str]) -> LocalFile:
    """Raises SourceError when the file cannot be opened."""
    name = os.fspath(path)
    try:
        return LocalFile(os.open(name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)))
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}", hint=f"ls -l {name}") from error
