"""Several documents as one: lists concatenate, maps merge key by key, `settings` merges deep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.spec.faults import ABSENT, Path, child
from reconciler.spec.syntax import Document

DEEP = "settings"
"""The one section in which maps merge at every level."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The same place is written in two files."""

    path: Path
    first: Document
    second: Document


@dataclass(frozen=True, slots=True)
class Merged:
    """What all files say together, and how to find again which one said it."""

    data: dict[str, Any]
    documents: tuple[Document, ...]

    def origin(self, path: Path) -> tuple[Document, Path] | None:
        """The file that says what stands at `path`, and the path within that file.

        Where nothing stands, the file that says most of the way to it; None without any file.
        """
        if len(path) > 1 and isinstance(path[1], int) and isinstance(self.data.get(str(path[0])), list):
            return self._origin_of_item(str(path[0]), path[1], path[2:])
        documents = ((document, path) for document in self.documents)
        return max(documents, key=lambda place: _depth(place[0].data, path), default=None)

    def _origin_of_item(self, section: str, index: int, rest: Path) -> tuple[Document, Path] | None:
        for document in self.documents:
            items = document.data.get(section) or ()
            if index < len(items):
                return document, (section, index, *rest)
            index -= len(items)
        return None


def merge(documents: Sequence[Document]) -> tuple[Merged, tuple[Conflict, ...]]:
    """Put the documents together in their order; what stands in two of them keeps its first value.

    A section that is null counts as absent: that is what is left when all its entries are comments.
    """
    data: dict[str, Any] = {}
    conflicts: list[Conflict] = []
    for place, document in enumerate(documents):
        for path in _add(data, document.data, ()):
            first = next(d for d in documents[:place] if _depth(d.data, path) == len(path))
            conflicts.append(Conflict(path, first, document))
    return Merged(data, tuple(documents)), tuple(conflicts)


def _add(into: dict[Any, Any], more: dict[Any, Any], at: Path) -> list[Path]:
    """Put `more` into `into` and return the paths that stand in both."""
    conflicts: list[Path] = []
    for key, value in more.items():
        path = (*at, key)
        present = into.get(key)
        if not at and value is None:
            continue
        if key not in into:
            into[key] = _copy(value)
        elif not at and isinstance(present, list) and isinstance(value, list):
            into[key] = present + value
        elif isinstance(present, dict) and isinstance(value, dict) and (not at or at[0] == DEEP):
            conflicts += _add(present, value, path)
        else:
            conflicts.append(path)
    return conflicts


def _copy(value: Any) -> Any:
    """So that adding to the whole does not change the document that a map came from."""
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _depth(data: Any, path: Path) -> int:
    """How many parts of `path` exist in `data`."""
    for depth, part in enumerate(path):
        data = child(data, part)
        if data is ABSENT:
            return depth
    return len(path)
