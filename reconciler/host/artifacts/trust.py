"""Which files were hashed, so that they need not be hashed again while they are untouched.

One line per hashed file, appended in one write; a later line about the same inode wins. A torn or foreign
line is passed over: the worst that a lost line costs is one more hashing.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reconciler.core.types import Sha256, is_sha256

_FIELDS = 5
_NOTHING = "-"
"""Instead of a hash: this file is not what it should be."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What changes when a file's bytes are written to or another file takes its place."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Trust:
    """The file that holds it; made with the first record."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def folder(self) -> Path:
        return self._path.parent

    def load(self) -> "TrustView":
        """Everything that is recorded; nothing where nothing is, or nothing can be read."""
        known: dict[tuple[int, int], tuple[int, int, str]] = {}
        text = ""
        with suppress(FileNotFoundError):
            text = self._path.read_text(encoding="ascii", errors="replace")
        for line in text.split("\n"):
            fields = line.split(" ")
            if len(fields) != _FIELDS or not (is_sha256(fields[4]) or fields[4] == _NOTHING):
                continue
            with suppress(ValueError):
                device, inode, size, mtime = map(int, fields[:4])
                known[device, inode] = (size, mtime, fields[4])
        return TrustView(known)

    def record(self, identity: Identity, sha256: Sha256 | None) -> None:
        """Note what a file was hashed to; None notes that it is not to be trusted any more."""
        fields = (identity.device, identity.inode, identity.size, identity.mtime_ns, sha256 or _NOTHING)
        # The line end before it closes a line that a crash may have torn.
        line = f"\n{' '.join(map(str, fields))}\n".encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


class TrustView:
    """What was recorded at one moment."""

    def __init__(self, known: dict[tuple[int, int], tuple[int, int, str]]) -> None:
        self._known = known

    def hash_of(self, status: os.stat_result) -> Sha256 | None:
        """The hash of a file that is untouched since it was hashed."""
        size, mtime, sha256 = self._known.get((status.st_dev, status.st_ino), (-1, -1, _NOTHING))
        if (size, mtime) != (status.st_size, status.st_mtime_ns) or sha256 == _NOTHING:
            return None
        return Sha256(sha256)
