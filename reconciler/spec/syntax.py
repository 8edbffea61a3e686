"""One YAML text as data, within bounds: size, depth, aliases, characters."""

import re
from dataclasses import dataclass
from typing import Any

import ryaml

from reconciler.core.errors import Location, SpecError
from reconciler.core.limits import MAXIMUM_SPEC_FILE

MAXIMUM_DEPTH = 64
"""Of mappings and lists in each other. The spec's own shape is closed and eight deep."""

MAXIMUM_ALIASED_NODES = 200_000
"""Values that the aliases of one file may repeat, all together."""

_UNREADABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.2 section 5.1 forbids: control characters and, unescaped, the byte order mark."""
_BRACKET = re.compile(r"[\[\]{}]")
_ANCHOR = re.compile(r"&([A-Za-z0-9_-]+)")
_ALIAS = re.compile(r"\*([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the spec, read. `text` has lost its byte order mark, so that the offsets of `locate` hold."""

    file: str
    text: str
    data: dict[str, Any]


def parse(file: str, text: str) -> Document:
    """Read one file; an empty one is an empty document. Raises SpecError with line and column.

    YAML 1.2: `no`, dates and `2025-11-17-01` are text. Keys that are no text stay what they are.
    """
    text = text.removeprefix("\ufeff")
    _guard_characters(file, text)
    if len(text.encode()) > MAXIMUM_SPEC_FILE:
        raise SpecError(
            f"the file is larger than {MAXIMUM_SPEC_FILE // 1024**2} MiB",
            where=Location(file),
            hint="spread its models over several files of the folder",
        )
    _guard_depth(file, text)
    _guard_aliases(file, text)
    try:
        data = ryaml.loads(text)  # type: ignore[attr-defined]  # its stubs do not re-export
    except ValueError as error:
        from reconciler.spec.explain import explain  # noqa: PLC0415 - only errors need positions

        raise explain(file, text, str(error)) from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise _not_a_mapping(file, text, data)
    return Document(file, text, data)


def _guard_characters(file: str, text: str) -> None:
    found = _UNREADABLE.search(text)
    if found is None:
        return
    from reconciler.spec.locate import Lines  # noqa: PLC0415 - only errors need positions

    raise SpecError(
        f"the character U+{ord(found[0]):04X} must not stand in YAML",
        where=Location(file, *Lines(text).position(found.start())),
        hint="remove it; is the file complete and UTF-8?",
    )


def _guard_depth(file: str, text: str) -> None:
    """Brackets in each other cost libyaml, and so the reader, the square of their depth.

    What looks deep may be a prompt full of brackets: the events tell, and stop at the bound.
    """
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        deepest = max(depth, deepest)
    if deepest <= MAXIMUM_DEPTH:
        return
    from reconciler.spec.explain import too_deep  # noqa: PLC0415 - only suspicious texts need it

    fault = too_deep(file, text)
    if fault is not None:
        raise fault


def _guard_aliases(file: str, text: str) -> None:
    """An alias needs a name that stands both behind a `&` and a `*`."""
    if "&" not in text or "*" not in text:
        return
    if set(_ANCHOR.findall(text)).isdisjoint(_ALIAS.findall(text)):
        return
    from reconciler.spec.explain import too_many_aliased  # noqa: PLC0415 - only aliases need it

    fault = too_many_aliased(file, text, MAXIMUM_ALIASED_NODES)
    if fault is not None:
        raise fault


def _not_a_mapping(file: str, text: str, data: Any) -> SpecError:
    from reconciler.spec.locate import Lines, find  # noqa: PLC0415 - only errors need positions

    what = "a list" if isinstance(data, list) else "a single value"
    return SpecError(
        f"the file holds {what} where `models:`, `profiles:` and so on are expected",
        where=Location(file, *Lines(text).position(find(text, [()])[()].start)),
        hint="begin the file with a key such as `models:`",
    )
