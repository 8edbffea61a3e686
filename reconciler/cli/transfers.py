"""Shows bytes on their way: a bar with rate and time left for a person, a line now and then for a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from reconciler.cli.output import Output
from reconciler.core.sizes import format_bytes, format_seconds

LINE_EVERY_SECONDS = 5.0


class Transfer(Protocol):
    """One file on its way."""

    def progress(self, done: int, total: int) -> None: ...

    def wait(self) -> None:
        """Another process is at the same file."""


Begin = Callable[[str], Transfer]
"""Called with what a file is called, before its bytes move."""


@contextmanager
def transfers(output: Output) -> Iterator[Begin]:
    """What to tell of each file's way, while the context lasts."""
    if not output.live:
        yield lambda label: Lines(label, output.note)
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    # Lines that are printed meanwhile go above the bars, but data that goes to a file stays its own.
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, redirect_stdout=sys.stdout.isatty()) as shown:

        class Bar:
            def __init__(self, label: str) -> None:
                self._task = shown.add_task(label, total=None)
                self._label = label

            def progress(self, done: int, total: int) -> None:
                shown.update(self._task, completed=done, total=total, visible=done < total)

            def wait(self) -> None:
                shown.console.print(_waiting(self._label), markup=False, highlight=False)

        yield Bar


class Lines:
    """A line every few seconds; a file that takes less has none."""

    def __init__(self, label: str, note: Callable[[str], None]) -> None:
        self._label = label
        self._note = note
        self._since: tuple[float, int] | None = None

    def progress(self, done: int, total: int) -> None:
        now = monotonic()
        if self._since is None:
            self._since = (now, done)
        then, before = self._since
        if now - then >= LINE_EVERY_SECONDS and done < total:
            self._note(f"{self._label}: {_pace(done, total, (done - before) / (now - then))}")
            self._since = (now, done)

    def wait(self) -> None:
        self._note(_waiting(self._label))


def _pace(done: int, total: int, rate: float) -> str:
    left = f"{format_seconds((total - done) / rate)} left" if rate > 0 else "stalled"
    share = 100 * done // total
    return f"{format_bytes(done)} of {format_bytes(total)} ({share} %), {format_bytes(int(rate))}/s, {left}"


def _waiting(label: str) -> str:
    return f"{label}: another modelctl is fetching it; waiting"
