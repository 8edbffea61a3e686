"""A forward-only view over a file that may be far away: few reads, each larger than the one before."""

import re
import struct
from functools import cache
from typing import Any, Protocol

from reconciler.core.errors import FormatError

FIRST_READ = 512 * 1024
LARGEST_READ = 16 * 1024 * 1024
HEADER_LIMIT = 256 * 1024 * 1024
"""No honest header comes near: the largest vocabularies take about 30 MiB."""

_U64 = struct.Struct("<Q")
_BLOCK = 256
_LONGEST_IN_BLOCK = 47
_BLOCK_BYTES = _BLOCK * (_U64.size + _LONGEST_IN_BLOCK)


class ReadAt(Protocol):
    """Reads up to `size` bytes at `offset`; none only where the file ends."""

    @property
    def size(self) -> int | None:
        """Length of the file in bytes; None while it is not known."""

    def __call__(self, offset: int, size: int, /) -> bytes: ...


class Window:
    """Reads a header front to back, keeps only what is not consumed yet, refuses to pass `HEADER_LIMIT`."""

    def __init__(self, read_at: ReadAt, name: str) -> None:
        self._read_at = read_at
        self._name = name
        self._next_read = FIRST_READ
        self._base = 0
        self._at = 0
        self._buffer = b""

    @property
    def position(self) -> int:
        return self._base + self._at

    @property
    def left(self) -> int:
        """Bytes that may still follow."""
        return self._end() - self.position

    def fail(self, why: str) -> FormatError:
        return FormatError(
            f"{self._name} is no usable GGUF file: {why} (at byte {self.position})",
            hint="download it again, or check that its source really is a GGUF file",
        )

    def take(self, size: int) -> bytes:
        """The next `size` bytes; FormatError when the file ends before."""
        self._need(size)
        start = self._at
        self._at += size
        return self._buffer[start : self._at]

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The next values of this layout; the caller knows their types from it."""
        self._need(layout.size)
        values = layout.unpack_from(self._buffer, self._at)
        self._at += layout.size
        return values

    def string(self, limit: int, what: str) -> str:
        """The next length-prefixed string; `what` names it where it is too long or no UTF-8."""
        length = self.u64()
        if length > limit:
            raise self.fail(f"{what} of {length} bytes is longer than the {limit} that are allowed")
        self._need(length)
        start = self._at
        self._at += length
        try:
            return self._buffer[start : self._at].decode()
        except UnicodeDecodeError:
            raise self.fail(f"{what} is not UTF-8") from None

    def u64(self) -> int:
        if len(self._buffer) - self._at < _U64.size:
            self._need(_U64.size)
        (value,) = _U64.unpack_from(self._buffer, self._at)
        self._at += 8
        return int(value)

    def skip(self, size: int) -> None:
        """Pass over `size` bytes; those that were not read yet never are."""
        if size > self.left:
            raise self.fail(f"{size} bytes are promised where {self.left} are left")
        self._at += size
        if self._at > len(self._buffer):
            self._base += self._at
            self._at = 0
            self._buffer = b""

    def skip_strings(self, count: int) -> None:
        """Pass over `count` length-prefixed strings: the vocabulary of a model, the bulk of its header.

        Short strings, that is nearly all, go in blocks through one compiled pattern, which takes two thirds
        of the time of a loop; a block that the pattern does not match is walked string by string.
        """
        if count * _U64.size > self.left:
            raise self.fail(f"an array of {count} strings cannot fit")
        while count >= _BLOCK:
            if len(self._buffer) - self._at < _BLOCK_BYTES:
                self._fill(_BLOCK_BYTES)
            block = _short_strings(_BLOCK).match(self._buffer, self._at)
            if block is None:
                self._walk_strings(_BLOCK)
            else:
                self._at = block.end()
            count -= _BLOCK
        self._walk_strings(count)

    def _end(self) -> int:
        size = self._read_at.size
        return HEADER_LIMIT if size is None else min(size, HEADER_LIMIT)

    def _walk_strings(self, count: int) -> None:
        for _ in range(count):
            self.skip(self.u64())

    def _need(self, size: int) -> None:
        while len(self._buffer) - self._at < size:
            if size > self.left or not self._fill(size):
                raise self.fail(f"it ends where {size} more bytes should follow")

    def _fill(self, size: int) -> bool:
        """Read on, so that `size` bytes or more are at hand, if the reader likes; False at the end."""
        start = self._base + len(self._buffer)
        rest = self._buffer[self._at :]
        wanted = min(max(size - len(rest), self._next_read), self._end() - start)
        more = self._read_at(start, wanted) if wanted > 0 else b""
        if more:
            self._base += self._at
            self._at = 0
            self._buffer = rest + more
            self._next_read = min(self._next_read * 4, LARGEST_READ)
        return bool(more)


@cache
def _short_strings(count: int) -> re.Pattern[bytes]:
    """Matches exactly `count` short strings; the commonest lengths are tried first."""
    by_frequency = sorted(range(_LONGEST_IN_BLOCK + 1), key=lambda length: abs(length - 7))
    # Zeros written out are one comparison each; counted ones would each start a loop.
    one = b"|".join(re.escape(bytes([length])) + rb"\x00" * 7 + rb".{%d}" % length for length in by_frequency)
    return re.compile(b"(?s:(?:%s){%d}+)" % (one, count))
