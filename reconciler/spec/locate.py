"""Where things stand in a YAML text, by their path in the data.

The fast reader gives no positions, so this walks the events of libyaml, whose grammar it shares, and keeps
only what was asked for: a text of any size costs one pass and no tree.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import yaml

from reconciler.spec.faults import Path

Wanted = dict[str, Any]
"""The wanted paths as a tree: each part leads to the parts that may follow it."""

Event = Any
"""One of PyYAML's events. Its stubs allow for marks that are None, which the parser never gives."""

_BREAK = re.compile(r"\r\n|\r|\n")
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, or the pure Python parser, some twenty times slower, where PyYAML was built without it."""


class Kind(Enum):
    SCALAR = auto()
    MAPPING = auto()
    SEQUENCE = auto()
    ALIAS = auto()


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its key as offsets into the text.

    `end` is behind the last visible character of the value; only a block scalar includes its line end.
    """

    kind: Kind
    start: int
    end: int
    key_start: int | None
    """None for list items and the root."""
    flow: bool
    """Whether it is a `[…]` or `{…}`."""
    style: str | None
    """Of a scalar: `'`, `"`, `|`, `>`, or None for a plain one."""
    first: int | None
    """Start of the first key or item; None for scalars and where there is none."""
    marked: bool
    """Whether an anchor or a tag stands before the value; both are part of `start`…`end`."""

    @property
    def shown(self) -> int:
        """The offset that an editor should jump to: the value, or its key where nothing is written."""
        return self.key_start if self.start == self.end and self.key_start is not None else self.start


class Lines:
    """Turns offsets into lines and columns; both count from 1, columns in characters, as editors do."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in _BREAK.finditer(text))]

    def position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def find(text: str, paths: Iterable[Path]) -> dict[Path, Node]:
    """The nodes at `paths` and at every path above them, as far as they exist; aliases are not followed.

    Mapping keys of the result are text even where YAML reads a number. Raises yaml.YAMLError for a text that
    is no YAML. The text has no byte order mark.
    """
    wanted: Wanted = {}
    for path in paths:
        branch = wanted
        for part in path:
            branch = branch.setdefault(str(part), {})
    found: dict[Path, Node] = {}
    events = parse_events(text)
    root = next((e for e in events if isinstance(e, (yaml.NodeEvent, yaml.StreamEndEvent))), None)
    if isinstance(root, yaml.NodeEvent):
        _Reader(events, found).read(root, wanted, (), None)
    return found


def parse_events(text: str) -> Iterator[Event]:
    return iter(yaml.parse(text, Loader=_LOADER))


class _Reader:
    """Consumes one node after the other from the events and records those on a wanted path."""

    def __init__(self, events: Iterator[Event], found: dict[Path, Node]) -> None:
        self._events = events
        self._found = found

    def read(self, event: Event, wanted: Wanted | None, path: Path, key: Event | None) -> int:
        """Read the node that `event` starts; returns the offset behind its last visible character."""
        if wanted is None:
            return self._skip(event)
        first: int | None = None
        end: int = event.end_mark.index
        kind = Kind.SCALAR
        if isinstance(event, yaml.MappingStartEvent):
            kind = Kind.MAPPING
            first, end = self._read_mapping(end, wanted, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            kind = Kind.SEQUENCE
            first, end = self._read_sequence(end, wanted, path)
        elif isinstance(event, yaml.AliasEvent):
            kind = Kind.ALIAS
        self._found[path] = Node(
            kind=kind,
            start=event.start_mark.index,
            end=end,
            key_start=key.start_mark.index if key else None,
            flow=bool(getattr(event, "flow_style", False)),
            style=getattr(event, "style", None),
            first=first,
            marked=kind is not Kind.ALIAS and (event.anchor is not None or event.tag is not None),
        )
        return end

    def _read_mapping(self, end: int, wanted: Wanted, path: Path) -> tuple[int | None, int]:
        first: int | None = None
        for key in self._events:
            if isinstance(key, yaml.MappingEndEvent):
                return first, _visible_end(key, end)
            first = key.start_mark.index if first is None else first
            name = key.value if isinstance(key, yaml.ScalarEvent) else None
            if name is None:
                self._skip(key)
            inner = None if name is None else wanted.get(name)
            end = self.read(next(self._events), inner, (*path, name or ""), key)
        return first, end

    def _read_sequence(self, end: int, wanted: Wanted, path: Path) -> tuple[int | None, int]:
        first: int | None = None
        for index, item in enumerate(self._events):
            if isinstance(item, yaml.SequenceEndEvent):
                return first, _visible_end(item, end)
            first = item.start_mark.index if first is None else first
            end = self.read(item, wanted.get(str(index)), (*path, index), None)
        return first, end

    def _skip(self, event: Event) -> int:
        end: int = event.end_mark.index
        depth = int(isinstance(event, _OPENING))
        while depth:
            event = next(self._events)
            end = _visible_end(event, end)
            depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        return end


def _visible_end(event: Event, before: int) -> int:
    """A block mapping or list ends without a character, at the next token, after blank lines and comments."""
    start, end = event.start_mark.index, event.end_mark.index
    return before if isinstance(event, _CLOSING) and end == start else int(end)
