"""The end of a log file, and what is added to it, across rotation and truncation."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_BLOCK = 64 * 1024
_POLL_SECONDS = 0.1


def tail(path: Path, *, lines: int, follow: bool) -> Iterator[str]:
    """Yield the last `lines` lines without line ends; when following, wait for more, for ever.

    A missing file has no lines; when following, it is waited for. A file that was replaced or cut short is
    read again from its start.
    """
    while not path.exists():
        if not follow:
            return
        time.sleep(_POLL_SECONDS)
    file = path.open("rb")
    try:
        yield from _last_lines(file, lines, keep_partial=not follow)
        while follow:
            for line in _complete_lines(file):
                yield _text(line)
            if _was_replaced(file, path):
                replacement = path.open("rb")
                file.close()
                file = replacement
            else:
                time.sleep(_POLL_SECONDS)
    finally:
        file.close()


def _last_lines(file: BinaryIO, lines: int, *, keep_partial: bool) -> Iterator[str]:
    """Leave the file positioned behind what was yielded."""
    position = file.seek(0, os.SEEK_END)
    ends = 0
    while position > 0 and ends <= lines:
        step = min(_BLOCK, position)
        position -= step
        file.seek(position)
        ends += file.read(step).count(b"\n")
    file.seek(position)
    found: deque[bytes] = deque(maxlen=lines)
    found.extend(_complete_lines(file))
    rest = file.read() if keep_partial else b""
    if rest:
        found.append(rest)
    for line in found:
        yield _text(line)


def _complete_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines up to the last line end; a started line stays unread."""
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):
            file.seek(position)
            return
        yield line


def _was_replaced(file: BinaryIO, path: Path) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(file.fileno())
    return (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino) or now.st_size < file.tell()


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")
