"""Edits of a YAML text that keep every byte that they do not mean: positions from libyaml, then a splice.

Every edit reads its result again and compares it with what should stand there; a text in which the edit
cannot be made safely (aliases, unusual layouts) raises SpecError instead.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reconciler.core.errors import Location, SpecError
from reconciler.spec.faults import Path, child
from reconciler.spec.locate import Kind, Lines, Node, find
from reconciler.spec.scalars import block, flow, scalar
from reconciler.spec.syntax import Document, parse

_LINE_END = re.compile(r"\r\n|\n|\r")
_COMMA_AFTER = re.compile(r"[ \t]*,[ \t]*")
_COMMA_BEFORE = re.compile(r",\s*\Z")


class _Splice(NamedTuple):
    """What replaces the characters from `start` up to `end`."""

    start: int
    end: int
    new: str


def set_value(document: Document, path: Path, value: Any, *, after: Sequence[str] = ()) -> Document:
    """Set the scalar or one-line list at `path`, in its quotes if it has any.

    A key that is missing is inserted behind the first of the siblings `after` that exists, else at the end
    of its mapping; a mapping that is missing is inserted with it.
    """
    siblings = [(*path[:-1], name) for name in after]
    nodes = find(document.text, [path, *siblings])
    if path in nodes:
        splice = _replacement(document, path, nodes[path], value)
    elif path[:-1] in nodes:
        sibling = next((nodes[s] for s in siblings if s in nodes), None)
        splice = _insertion(document, path, nodes[path[:-1]], sibling, value)
    elif len(path) == 1:
        splice = _first_line(document.text, {str(path[0]): value})
    else:
        return set_value(document, path[:-1], {path[-1]: value})
    expected = _with(document.data, path, list(value) if isinstance(value, tuple) else value)
    return _spliced(document, splice, expected, path)


def append_item(document: Document, path: Path, item: Mapping[str, Any]) -> Document:
    """Append a mapping to the list at `path`, laid out as its items are."""
    items = _get(document.data, path)
    expected = _with(document.data, path, [*items, dict(item)])
    last = (*path, len(items) - 1)
    nodes = find(document.text, [last])
    node = nodes.get(path)
    if node is None or node.kind is not Kind.SEQUENCE or last not in nodes or (node.marked and not node.flow):
        raise _by_hand(document, path, node.shown if node else 0)
    if node.flow:
        at = nodes[last].end
        return _spliced(document, _Splice(at, at, f", {flow(item)}"), expected, path)
    first = nodes[path].first or node.start
    dash = " " * _column(document.text, node.start)
    gap = document.text[node.start + 1 : first]
    gap = gap if gap.isspace() and not _LINE_END.search(gap) else " "
    at, newline = _next_line(document.text, node.end)
    lines = f"{dash}-{gap}" + block(item, f"{dash} {gap}", newline)
    splice = _Splice(at, at, _as_lines(document.text, at, lines, newline))
    return _spliced(document, splice, expected, path)


def remove_key(document: Document, path: Path) -> Document:
    """Remove a key with its value and the comment in its line."""
    left = {key: value for key, value in _get(document.data, path[:-1]).items() if key != path[-1]}
    nodes = find(document.text, [path])
    node, parent = nodes.get(path), nodes.get(path[:-1])
    if node is None or parent is None or node.key_start is None:
        raise _by_hand(document, path, 0)
    start, end = node.key_start, node.end
    if parent.flow:
        comma = _COMMA_AFTER.match(document.text, end)
        before = _COMMA_BEFORE.search(document.text[:start])
        if comma:
            end = comma.end()
        elif before:
            start = before.start()
    else:
        start -= _column(document.text, start)
        if document.text[start : node.key_start].strip():
            raise _by_hand(document, path, node.shown if node else 0)
        end, _ = _next_line(document.text, end)
    expected = _with(document.data, path[:-1], left if left or parent.flow else None)
    return _spliced(document, _Splice(start, end, ""), expected, path)


def _replacement(document: Document, path: Path, node: Node, value: Any) -> _Splice:
    if node.marked or node.kind is Kind.ALIAS:
        raise _by_hand(document, path, node.shown)
    if node.kind is not Kind.SCALAR:
        if not node.flow:
            raise _by_hand(document, path, node.shown)
        return _Splice(node.start, node.end, flow(value))
    if node.start == node.end and isinstance(value, Mapping):
        return _first_entry(document.text, node, value)
    shown = document.text[node.start : node.end].rstrip()
    text = scalar(value, node.style) if not isinstance(value, Mapping | tuple | list) else flow(value)
    return _Splice(node.start, node.start + len(shown), text if shown else f" {text}")


def _first_entry(text: str, node: Node, value: Mapping[str, Any]) -> _Splice:
    """The first entry of a mapping of which only the key stands there: `pins:`."""
    at, newline = _next_line(text, node.end)
    indent = "" if node.key_start is None else " " * (_column(text, node.key_start) + 2)
    return _Splice(at, at, _as_lines(text, at, indent + block(value, indent, newline), newline))


def _insertion(document: Document, path: Path, parent: Node, sibling: Node | None, value: Any) -> _Splice:
    entry = {str(path[-1]): value}
    if parent.kind is Kind.SCALAR and parent.start == parent.end:
        return _first_entry(document.text, parent, entry)
    if parent.kind is not Kind.MAPPING:
        return _replacement(document, path, parent, entry)
    if parent.flow:
        text = flow(entry)[1:-1]
        if parent.first is None:
            return _Splice(parent.end - 1, parent.end - 1, text)
        if sibling is None:
            return _Splice(parent.first, parent.first, f"{text}, ")
        return _Splice(sibling.end, sibling.end, f", {text}")
    indent = " " * _column(document.text, parent.first or 0)
    at, newline = _next_line(document.text, (sibling or parent).end)
    lines = indent + block(entry, indent, newline)
    return _Splice(at, at, _as_lines(document.text, at, lines, newline))


def _first_line(text: str, entry: Mapping[str, Any]) -> _Splice:
    """The first entry of a text that holds nothing but comments."""
    at, newline = _next_line(text, len(text))
    return _Splice(at, at, _as_lines(text, at, block(entry, "", newline), newline))


def _spliced(document: Document, splice: _Splice, expected: Any, path: Path) -> Document:
    text = document.text[: splice.start] + splice.new + document.text[splice.end :]
    try:
        edited = parse(document.file, text)
    except SpecError as error:
        raise _by_hand(document, path, splice.start) from error
    if edited.data != expected:
        raise _by_hand(document, path, splice.start)
    return edited


def _by_hand(document: Document, path: Path, offset: int) -> SpecError:
    return SpecError(
        f"`{path[-1]}` is written in a way that cannot be edited without changing more",
        where=Location(document.file, *Lines(document.text).position(offset)),
        hint="edit it by hand",
    )


def _next_line(text: str, offset: int) -> tuple[int, str]:
    """Where the line after the one of `offset` begins, and the line end in use there."""
    if offset and text[offset - 1] in "\r\n":  # behind a block scalar, which ends with its last line
        found = _LINE_END.search(text, max(0, offset - 2))
        return offset, found[0] if found else "\n"
    found = _LINE_END.search(text, offset)
    if found:
        return found.end(), found[0]
    before = _LINE_END.search(text)
    return len(text), before[0] if before else "\n"


def _as_lines(text: str, at: int, lines: str, newline: str) -> str:
    """`lines` as an insertion at `at`: the last line of a text may lack its end, and goes on lacking it."""
    if at and text[at - 1] not in "\r\n":
        return newline + lines
    return lines + newline


def _column(text: str, offset: int) -> int:
    return offset - max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) - 1


def _get(data: Any, path: Path) -> Any:
    for part in path:
        data = child(data, part)
    return data


def _with(data: Any, path: Path, value: Any) -> Any:
    """`data` with `value` at `path`; only what leads there is copied."""
    if not path:
        return value
    if isinstance(data, list):
        index = int(path[0])
        return [*data[:index], _with(data[index], path[1:], value), *data[index + 1 :]]
    mapping = data if isinstance(data, dict) else {}
    return {**mapping, path[0]: _with(mapping.get(path[0]), path[1:], value)}
