"""Faults and paths of the merged spec with their file, line and column."""

from collections.abc import Sequence

from reconciler.core.errors import Location, SpecError, SpecErrors
from reconciler.spec.faults import Fault, Path
from reconciler.spec.locate import Lines, Node, find
from reconciler.spec.merge import Conflict, Merged
from reconciler.spec.syntax import Document


class Places:
    """Looks up many places with one pass over each file that has any of them."""

    def __init__(self, wanted: Sequence[tuple[Document, Path]]) -> None:
        by_file: dict[str, tuple[Document, list[Path]]] = {}
        for document, path in wanted:
            by_file.setdefault(document.file, (document, []))[1].append(path)
        self._nodes = {
            file: {_written(path): node for path, node in find(document.text, paths).items()}
            for file, (document, paths) in by_file.items()
        }
        self._lines = {file: Lines(document.text) for file, (document, _) in by_file.items()}

    def location(self, document: Document, path: Path, *, at_key: bool = False) -> Location:
        """Of the value, or its key; where nothing stands at `path`, of what should hold it."""
        nodes = self._nodes[document.file]
        written = _written(path)
        depth = next(d for d in range(len(path), -1, -1) if d == 0 or written[:d] in nodes)
        node = nodes.get(written[:depth])
        if node is None:
            return Location(document.file)
        missing = depth < len(path)
        return Location(document.file, *self._lines[document.file].position(_offset(node, at_key or missing)))


def located(merged: Merged, faults: Sequence[Fault]) -> tuple[SpecError, ...]:
    """The faults as errors with their places, in the order of the files."""
    origins = [merged.origin(fault.path) for fault in faults]
    others = [merged.origin(fault.other) if fault.other is not None else None for fault in faults]
    places = Places([origin for origin in (*origins, *others) if origin])
    errors = []
    for fault, origin, other in zip(faults, origins, others, strict=True):
        where = places.location(*origin, at_key=fault.at_key) if origin else None
        also = f"; the other is at {places.location(*other, at_key=fault.at_key)}" if other else ""
        errors.append(SpecError(fault.what + also, where=where, hint=fault.hint))
    return in_order(errors)


def located_conflicts(conflicts: Sequence[Conflict]) -> tuple[SpecError, ...]:
    places = Places([(document, c.path) for c in conflicts for document in (c.first, c.second)])
    return in_order(
        [
            SpecError(
                f"`{'.'.join(map(str, conflict.path))}` stands in two files; "
                f"the other is at {places.location(conflict.first, conflict.path, at_key=True)}",
                where=places.location(conflict.second, conflict.path, at_key=True),
                hint="keep one of them",
            )
            for conflict in conflicts
        ]
    )


def in_order(errors: Sequence[SpecError]) -> tuple[SpecError, ...]:
    return tuple(sorted(errors, key=lambda error: _sort_key(error.where)))


def as_one(errors: Sequence[SpecError]) -> SpecError:
    """The one error itself, or several as one; there is at least one."""
    return errors[0] if len(errors) == 1 else SpecErrors(tuple(errors))


def _written(path: Path) -> tuple[str, ...]:
    """A key that YAML reads as a number stands in the text as one, so paths are compared as text."""
    return tuple(map(str, path))


def _offset(node: Node, at_key: bool) -> int:
    return node.key_start if at_key and node.key_start is not None else node.shown


def _sort_key(where: Location | None) -> tuple[str, int, int]:
    return (where.file, where.line or 0, where.column or 0) if where else ("", 0, 0)
