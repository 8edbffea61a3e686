"""What the spec's types say about a path: which keys may stand there, what a field is for."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.spec.descriptions import descriptions
from reconciler.spec.faults import Path
from reconciler.spec.model import Spec


def fields_at(path: Path) -> dict[str, FieldInfo]:
    """The keys that may stand in the mapping at `path`; empty where any may."""
    return _fields(_type_at(path))


def purpose_at(path: Path, key: str) -> str | None:
    """What `key` of the mapping at `path` is for, in one line; None for a key that is not known there."""
    kind = _type_at(path)
    text = descriptions(kind).get(key) if _fields(kind) else None
    return None if text is None else " ".join(text.split())


def _type_at(path: Path) -> Any:
    kind: Any = Spec
    for part in path:
        kind = _inner(kind, part)
    return _plain(kind)


def _inner(kind: Any, part: str | int) -> Any:
    """The type of what stands under one key or index of a value of type `kind`."""
    kind = _plain(kind)
    fields = _fields(kind)
    if fields:
        return fields[str(part)].annotation if str(part) in fields else None
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return arguments[0]
    return arguments[1] if get_origin(kind) is dict else None


def _fields(kind: Any) -> dict[str, FieldInfo]:
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _plain(kind: Any) -> Any:
    """Without what is written around a type: `Annotated[…]`, `… | None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(member for member in get_args(kind) if member is not type(None))
        else:
            return kind
