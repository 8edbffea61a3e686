"""The only place that prints: data on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FORMAT_VERSION = 1
"""Raised when a JSON document changes in a way that breaks its readers."""


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


class Style(StrEnum):
    """What a piece of text means; how it looks is decided here."""

    GOOD = "32"
    WARN = "33"
    BAD = "31"
    DIM = "2"
    BOLD = "1"


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's words go. `interactive` is False where nobody can be asked."""

    format: Format
    interactive: bool

    def document(self, document: dict[str, Any], text: Callable[[], str]) -> None:
        """One result: `document` as JSON, or what `text` makes for a reader."""
        if self.format is Format.JSON:
            print(json.dumps({"format_version": FORMAT_VERSION, **document}, indent=2, ensure_ascii=False))
        elif body := text():
            print(body)

    def event(self, event: dict[str, Any], text: str | None) -> None:
        """One of many: a line of NDJSON on stdout, or a line for a reader; None says nothing to a reader."""
        if self.format is Format.JSON:
            print(json.dumps(event, ensure_ascii=False), flush=True)
        elif text is not None:
            print(text, flush=True)

    def raw(self, text: str) -> None:
        """Data that has a format of its own: a schema, a log line, a YAML text."""
        print(text, flush=True)

    def note(self, text: str) -> None:
        """Words beside the data."""
        print(text, file=sys.stderr, flush=True)

    def ask(self, question: str) -> bool:
        """A yes-or-no question; the answer is no where nobody can be asked."""
        if not self.interactive:
            return False
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @property
    def live(self) -> bool:
        """Whether a progress bar would be seen and not end up in a file."""
        return self.format is Format.TEXT and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: Style, *, stream: Any = None) -> str:
    """Colour for a terminal that wants it (https://no-color.org)."""
    wanted = (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{style}m{text}\x1b[0m" if wanted else text


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart; no lines, so that it can be cut and sorted."""
    everything = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(plain(row[column])) for row in everything) for column in range(len(headers))]
    lines = []
    for row in everything:
        cells = [cell + " " * (width - len(plain(cell))) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def plain(text: str) -> str:
    """`text` without colour."""
    if "\x1b" not in text:
        return text
    import re  # noqa: PLC0415 - only coloured text pays for it

    return re.sub(r"\x1b\[[0-9;]*m", "", text)
