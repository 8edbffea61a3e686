"""Why a text is no YAML that a spec may be written in, and where."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from reconciler.core.errors import Location, SpecError
from reconciler.spec.locate import Event, Lines, parse_events
from reconciler.spec.syntax import MAXIMUM_DEPTH

_AT = re.compile(r" at line (\d+) column (\d+)")
_LARGE_NUMBER = re.compile(r"invalid type: integer `(-?\d+)`")
_NEEDS_QUOTES = "put the value in quotes"
_TOO_DEEP = f"more than {MAXIMUM_DEPTH} mappings and lists stand in each other"
_TAB = "a tab cannot indent YAML"
_LINE_UP = "indent it like the lines that it belongs to, with spaces"

_AT_CONTEXT = {
    "could not find expected ':'": ("this line is neither `key: value` nor a list item", None),
    "found unexpected end of stream": ("a quote is opened here and never closed", "close it"),
    "did not find the expected '>'": ("the tag that begins here is never closed", _NEEDS_QUOTES),
}
"""libyaml's words for what began at the context's mark, in ours, each with a hint."""

_AT_PROBLEM = {
    "mapping values are not allowed in this context": (
        "a second `:` stands here where a value is being written",
        f"{_NEEDS_QUOTES}, or check the indentation",
    ),
    "block sequence entries are not allowed in this context": (
        "a list item must begin on a line of its own",
        None,
    ),
    "found a tab character that violates indentation": (_TAB, _LINE_UP),
    "found a tab character where an indentation space is expected": (_TAB, _LINE_UP),
    "found unknown escape character": (
        "this escape is unknown",
        "use single quotes where \\ is meant as itself",
    ),
    "did not find expected key": ("this does not line up with the keys above", _LINE_UP),
    "did not find expected '-' indicator": ("this does not line up with the list above", _LINE_UP),
    "did not find expected node content": ("a value is missing here", None),
    "did not find expected <document start>": ("nothing may follow here", "remove what follows"),
    "did not find expected alphabetic or numeric character": (
        "text that begins with `*` or `&` needs quotes",
        _NEEDS_QUOTES,
    ),
    "did not find expected comment or line break": ("nothing may follow `|` or `>` in this line", None),
}
"""The same for what is wrong at the problem's own mark."""

MakeFault = Callable[..., SpecError]
"""Offset, what is wrong and a hint, as an error of the file at hand."""


def explain(file: str, text: str, reason: str) -> SpecError:
    """The first fault of a text that was refused for `reason`, in words and with its place."""
    lines = Lines(text)

    def fault(offset: int, what: str, hint: str | None = None) -> SpecError:
        return SpecError(what, where=Location(file, *lines.position(offset)), hint=hint)

    try:
        _walk(text, lines, fault)
    except SpecError as found:
        return found
    except yaml.MarkedYAMLError as error:
        return fault(*_reword(text, error))
    if "repetition limit" in reason:
        bomb = too_many_aliased(file, text, 0)
        if bomb is not None:
            return bomb
    return _from_reader(file, reason)


def too_deep(file: str, text: str) -> SpecError | None:
    """The first mapping or list below the bound; None when there is none, or the text is no YAML."""
    depth = 0
    try:
        for event in parse_events(text):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAXIMUM_DEPTH:
                return SpecError(_TOO_DEEP, where=Location(file, *Lines(text).position(_start(event))))
    except yaml.YAMLError:
        return None
    return None


def too_many_aliased(file: str, text: str, limit: int) -> SpecError | None:
    """The alias that takes the number of repeated values over `limit`; None when none does.

    A text that is no YAML gives None too: the reader refuses it.
    """
    sizes: dict[str | None, int] = {}
    opened: list[tuple[str | None, int]] = []
    count = repeated = 0
    try:
        for event in parse_events(text):
            if isinstance(event, yaml.AliasEvent):
                repeated += sizes.get(event.anchor, 1)
                count += sizes.get(event.anchor, 1)
                if repeated > limit:
                    return SpecError(
                        f"the aliases up to `*{event.anchor}` repeat too many values",
                        where=Location(file, *Lines(text).position(_start(event))),
                        hint="write the values out where they are needed",
                    )
            elif isinstance(event, yaml.ScalarEvent):
                count += 1
                if event.anchor is not None:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, count))
                count += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = opened.pop()
                if anchor is not None:
                    sizes[anchor] = count - before
    except yaml.YAMLError:
        return None
    return None


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read."""

    event: Event
    keys: dict[str, int] | None
    """Where each key was seen; None for a list."""
    at_key: bool = True


def _walk(text: str, lines: Lines, fault: MakeFault) -> None:
    """Raises for what libyaml lets pass and the reader does not."""
    opened: list[_Open] = []
    anchors: set[str] = set()
    documents = 0
    for event in parse_events(text):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise fault(
                    _start(event), "a second YAML document begins here", "move it into a file of its own"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            opened.pop()
        elif isinstance(event, yaml.NodeEvent):
            _check_node(event, opened, anchors, fault)
            if opened:
                _check_key(event, opened[-1], lines, fault)
            if event.anchor is not None:
                anchors.add(event.anchor)
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append(_Open(event, {} if isinstance(event, yaml.MappingStartEvent) else None))


def _check_node(event: Event, opened: list[_Open], anchors: set[str], fault: MakeFault) -> None:
    at = _start(event)
    if isinstance(event, yaml.AliasEvent):
        if any(parent.event.anchor == event.anchor for parent in opened):
            raise fault(at, f"the alias `*{event.anchor}` stands inside the value that it repeats")
        if event.anchor not in anchors:
            raise fault(at, f"no anchor `&{event.anchor}` stands before this alias", _NEEDS_QUOTES)
    if isinstance(event, yaml.CollectionStartEvent) and len(opened) == MAXIMUM_DEPTH:
        raise fault(at, _TOO_DEEP)


def _check_key(event: Event, parent: _Open, lines: Lines, fault: MakeFault) -> None:
    if parent.keys is None:
        return
    is_key, parent.at_key = parent.at_key, not parent.at_key
    if not is_key:
        return
    at = _start(event)
    if not isinstance(event, yaml.ScalarEvent):
        raise fault(at, "a mapping or list stands where a key is expected", _NEEDS_QUOTES)
    if event.value in parent.keys:
        line, _ = lines.position(parent.keys[event.value])
        raise fault(at, f"the key `{event.value}` stands twice; first in line {line}", "remove one of them")
    parent.keys[event.value] = at


def _from_reader(file: str, reason: str) -> SpecError:
    at = _AT.search(reason)
    where = Location(file, int(at[1]), int(at[2])) if at else Location(file)
    number = _LARGE_NUMBER.search(reason)
    if number is not None:
        return SpecError(f"the number {number[1][:20]}… is too large", where=where, hint=_NEEDS_QUOTES)
    return SpecError(_AT.sub("", reason), where=where)


def _reword(text: str, error: yaml.MarkedYAMLError) -> tuple[int, str, str | None]:
    """Offset, what is wrong, and a hint."""
    problem = error.problem or "this is no YAML"
    at = error.problem_mark.index if error.problem_mark else 0
    began = error.context_mark.index if error.context_mark else at
    if problem in _AT_CONTEXT:
        return began, *_AT_CONTEXT[problem]
    if problem in {"did not find expected ',' or ']'", "did not find expected ',' or '}'"}:
        return began, f"what is opened here is not closed with `{problem[-2]}`", "close it, or add a comma"
    if problem == "found character that cannot start any token":
        if text[at] == "\t":
            return at, _TAB, _LINE_UP
        return at, f"text that begins with `{text[at]}` needs quotes", _NEEDS_QUOTES
    if problem == "did not find expected key" and text[text.rfind("\n", 0, at) + 1 : at].strip():
        return at, "this does not belong to the value before it", _NEEDS_QUOTES
    return at, *_AT_PROBLEM.get(problem, (problem, None))


def _start(event: Event) -> int:
    return int(event.start_mark.index)
