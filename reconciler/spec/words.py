"""Pydantic's errors in plain words, one fault for each place."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from reconciler.core.suggest import did_you_mean
from reconciler.core.types import ID_PATTERN, REVISION_PATTERN, SHA256_PATTERN
from reconciler.spec.faults import ABSENT, Fault, Path, child, subject
from reconciler.spec.fields import FLAG_PATTERN, GPU_PATTERN, LINE_PATTERN, PORTS_PATTERN
from reconciler.spec.shape import fields_at, purpose_at

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of usual size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
}
_PULL = "leave it out: `modelctl pull` fills it in"
_PATTERNS = {
    ID_PATTERN: (
        "no id",
        "an id has letters, digits, `.`, `_` and `-`, at most 80, and begins with a letter, a digit or `_`",
    ),
    SHA256_PATTERN: ("no sha256, which is 64 lower-case hexadecimal digits", _PULL),
    REVISION_PATTERN: ("no commit, which is 40 lower-case hexadecimal digits", _PULL),
    PORTS_PATTERN: ("no range of ports", "write the first and the last, as in 8601-8699"),
    LINE_PATTERN: ("no line of text", "write one line without control characters, or remove it"),
    GPU_PATTERN: (
        "no name of a GPU",
        "numbers change with the set of cards: write a part of the name or a UUID: `modelctl gpu` shows both",
    ),
    FLAG_PATTERN: ("no flag name", "flags are written without dashes: `flash-attn`"),
}
_CHOICE = re.compile(r"'([^']*)'")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class _Case:
    """What pydantic says about one place: several errors where none member of a union fits."""

    path: Path
    owner: str
    leaf: str
    errors: tuple[ErrorDetails, ...]

    @property
    def error(self) -> ErrorDetails:
        """The one that says most."""
        return next((e for e in self.errors if e["type"] not in _EXPECTED), self.errors[0])

    @property
    def name(self) -> str:
        return self.owner + self.leaf

    @property
    def shown(self) -> str:
        return _show(self.error["input"])

    @property
    def at_key(self) -> bool:
        return self.error["type"] == "invalid_key" or self.error["loc"][-1:] == ("[key]",)


def word(errors: Iterable[ErrorDetails], data: Any) -> tuple[Fault, ...]:
    """One fault for each place that pydantic complains of; `data` is what it was given."""
    places: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        if not _follows_from_others(error):
            places.setdefault(_path(error, data), []).append(error)
    above = {path[:depth] for path in places for depth in range(len(path))}
    faults = []
    for path, found in places.items():
        if path in above and all(error["type"] in _EXPECTED for error in found):
            continue  # members of a union that the value did not try to be
        faults.append(_word(_Case(path, *subject(data, path), tuple(found))))
    return tuple(faults)


def _follows_from_others(error: ErrorDetails) -> bool:
    """A list whose items have errors counts as empty for pydantic."""
    return error["type"] == "too_short" and bool(error["input"])


def _path(error: ErrorDetails, data: Any) -> Path:
    """The error's place without the names of union members that pydantic puts in between."""
    path: list[str | int] = []
    *parts, last = error["loc"] or ("",)
    for part in (*parts, last):
        inner = child(data, part)
        if inner is not ABSENT:
            data = inner
            path.append(part)
    return (*path, last) if error["type"] == "missing" else tuple(path)


def _word(case: _Case) -> Fault:
    if case.path[-1:] == ("<<",):
        hint = "alias a whole value, or repeat its keys"
        return Fault(case.path, f"{case.owner}merge keys (`<<`) are not read", hint, at_key=True)
    kind = case.error["type"]
    if case.at_key and kind != "string_pattern_mismatch":
        return Fault(case.path, f"{case.name} must be text to be a key", "put it in quotes", at_key=True)
    if kind in _EXPECTED:
        return _wrong_kind(case)
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return Fault(case.path, f"{case.name} must be {words} {case.error['ctx'][bound]:g}, not {case.shown}")
    return _SENTENCES.get(kind, _as_it_is)(case)


def _wrong_kind(case: _Case) -> Fault:
    value = case.error["input"]
    if isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).startswith("!"):
        tag = next(iter(value))
        return Fault(case.path, f"{case.name}: the tag `{tag}` means nothing here", "remove it")
    expected = list(dict.fromkeys(_EXPECTED[error["type"]] for error in case.errors))
    hint = None
    if "text" in expected and isinstance(value, bool | int | float):
        by_name = "gpus" in case.path
        hint = "name the GPU, as `modelctl gpu` shows it, or its UUID" if by_name else "put it in quotes"
    elif value is None:
        hint = "write a value, or remove the key"
    alternatives = " or ".join(filter(None, [", ".join(expected[:-1]), expected[-1]]))
    return Fault(case.path, f"{case.name} must be {alternatives}, not {case.shown}", hint)


def _unknown_key(case: _Case) -> Fault:
    known = fields_at(case.path[:-1])
    hint = did_you_mean(str(case.path[-1]), known) or f"known here: {', '.join(known)}"
    return Fault(case.path, f"{case.owner}unknown key {case.leaf}", hint, at_key=True)


def _missing(case: _Case) -> Fault:
    purpose = purpose_at(case.path[:-1], str(case.path[-1]))
    hint = None if purpose is None else f"`{case.path[-1]}`: {purpose}"
    return Fault(case.path, f"{case.name} is missing", hint)


def _wrong_form(case: _Case) -> Fault:
    pattern, value = case.error["ctx"]["pattern"], case.error["input"]
    is_not, hint = _PATTERNS[pattern]
    if hint == _PULL and re.fullmatch(pattern, value.lower()):
        hint = "write it in lower case"
    text = f"{case.name} is {is_not}" if case.at_key else f"{case.name}: {case.shown} is {is_not}"
    return Fault(case.path, text, hint, at_key=case.at_key)


def _wrong_choice(case: _Case) -> Fault:
    choices = _CHOICE.findall(case.error["ctx"]["expected"])
    hint = did_you_mean(str(case.error["input"]), choices)
    return Fault(case.path, f"{case.name} is one of {', '.join(choices)}, not {case.shown}", hint)


def _too_short(case: _Case) -> Fault:
    return Fault(case.path, f"{case.name} is empty", "write at least one entry")


def _own_words(case: _Case) -> Fault:
    return Fault(case.path, f"{case.name}: {case.error['ctx']['error']}")


def _as_it_is(case: _Case) -> Fault:
    return Fault(case.path, f"{case.name}: {case.error['msg']}")


_SENTENCES: dict[str, Callable[[_Case], Fault]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "string_pattern_mismatch": _wrong_form,
    "literal_error": _wrong_choice,
    "too_short": _too_short,
    "value_error": _own_words,
}


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
