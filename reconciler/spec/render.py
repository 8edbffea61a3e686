"""Plain data as YAML that a person might have written: blocks, one-line lists, prompts as literal text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.spec.scalars import flow, scalar

_LITERAL = re.compile(
    r"[^\s\x7f-\x9f\ufeff][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*"
)
"""Text that a literal block keeps as it is. It begins with no blank, which would need an indentation mark."""


def render(data: Mapping[str, Any]) -> str:
    """The text, which every reader of YAML 1.2 reads as `data` again; the order of keys is kept."""
    return "".join(f"{line}\n" if line.strip() else "\n" for line in _mapping(data, ""))


def _mapping(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        name = f"{indent}{scalar(key)}:"
        if isinstance(value, Mapping) and value:
            yield name
            yield from _mapping(value, f"{indent}  ")
        elif _is_list(value) and any(isinstance(item, Mapping) for item in value):
            yield name
            yield from _items(value, f"{indent}  ")
        elif isinstance(value, str) and _fits_literal(value):
            yield f"{name} |" if value.endswith("\n") else f"{name} |-"
            yield from (f"{indent}  {line}" for line in value.removesuffix("\n").split("\n"))
        else:
            yield f"{name} {flow(value)}"


def _items(items: Sequence[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping) and item:
            first, *others = _mapping(item, f"{indent}  ")
            yield f"{indent}- {first.removeprefix(f'{indent}  ')}"
            yield from others
        else:
            yield f"{indent}- {flow(item)}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _fits_literal(text: str) -> bool:
    body = text.removesuffix("\n")
    if "\n" not in text or body.endswith("\n") or _LITERAL.fullmatch(body) is None:
        return False
    return all(line == "" or line.strip() for line in body.split("\n"))
