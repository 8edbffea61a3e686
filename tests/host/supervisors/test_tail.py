"""Log files: their end, and what is added, across rotation."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from reconciler.host.supervisors.tail import tail
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        ("", 3, []),
        ("a\nb\nc\n", 2, ["b", "c"]),
        ("a\nb\nc\n", 9, ["a", "b", "c"]),
        ("a\nb", 1, ["b"]),
        ("a\r\nb\n", 2, ["a", "b"]),
        ("\n\n", 2, ["", ""]),
        ("a\n", 0, []),
    ],
)
def test_the_last_lines(content: str, lines: int, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(content, newline="")
    assert list(tail(path, lines=lines, follow=False)) == expected


def test_the_end_of_a_large_file_with_long_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{number} {'x' * 5000}\n" for number in range(200)))
    assert [line.split()[0] for line in tail(path, lines=50, follow=False)] == [
        str(n) for n in range(150, 200)
    ]


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe ok\n")
    assert list(tail(path, lines=1, follow=False)) == ["\ufffd\ufffd ok"]


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert list(tail(tmp_path / "log", lines=1, follow=False)) == []


class Reader:
    """Follows a log in the background until the line `stop`."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.seen: list[str] = []
        self._thread = Thread(target=self._read, args=(lines,), daemon=True)
        self._thread.start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            if line == "stop":
                return
            self.seen.append(line)

    def wait_for(self, *lines: str) -> None:
        wait_until(lambda: self.seen == list(lines), what=f"{lines}, not {self.seen}")

    def ended(self) -> bool:
        self._thread.join(timeout=10)
        return not self._thread.is_alive()


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_following_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\nlast\n")
    reader = Reader(tail(path, lines=1, follow=True))
    reader.wait_for("last")
    _append(path, "a star")
    _append(path, "ted line\n")
    reader.wait_for("last", "a started line")
    _append(path, "stop\n")
    assert reader.ended()


def test_following_waits_for_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    reader = Reader(tail(path, lines=5, follow=True))
    path.write_text("first\nstop\n")
    assert reader.ended()
    assert reader.seen == ["first"]


def test_following_goes_on_in_a_file_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    reader = Reader(tail(path, lines=1, follow=True))
    reader.wait_for("before")
    os.truncate(path, 0)
    _append(path, "new\n")
    reader.wait_for("before", "new")
    _append(path, "stop\n")
    assert reader.ended()


def test_following_goes_on_in_a_file_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    reader = Reader(tail(path, lines=1, follow=True))
    reader.wait_for("before")
    path.rename(tmp_path / "log.1")
    path.write_text("a longer line\nstop\n")
    assert reader.ended()
    assert reader.seen == ["before", "a longer line"]
