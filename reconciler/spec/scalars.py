"""Values as YAML text that every YAML reader takes for the same value."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/~][A-Za-z0-9_./@+=-]*(?:://?[A-Za-z0-9_./@+=~-]+)?")
_DIGEST = re.compile(r"(?=.*[a-df])(?:[0-9a-f]{40}|[0-9a-f]{64})")
_WORDS = frozenset({"~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Text that some version of YAML reads as something else."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_TO_ESCAPE = re.compile(
    r'["\\]|[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]'
)


def scalar(value: str | float | bool | None, style: str | None = None) -> str:
    """One line of YAML for a value; text is quoted as `style` says, or where a reader might mistake it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if style == "'" and not _TO_ESCAPE.search(value.replace('"', "").replace("\\", "")):
        return "'" + value.replace("'", "''") + "'"
    if style not in ("'", '"') and _is_plain(value):
        return value
    return '"' + _TO_ESCAPE.sub(_escape, value) + '"'


def flow(value: Any) -> str:
    """A value in one line: mappings and lists in braces and brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return scalar(value)


def block(mapping: Mapping[str, Any], indent: str, newline: str) -> str:
    """The lines of a mapping, each but the first with `indent` before it, without the last line's end."""
    lines = []
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{scalar(key)}:", "  " + block(value, f"{indent}  ", newline)]
        else:
            lines.append(f"{scalar(key)}: {flow(value)}")
    return f"{newline}{indent}".join(lines)


def _is_plain(text: str) -> bool:
    if _DIGEST.fullmatch(text):
        return True
    return _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _ESCAPES.get(character) or f"\\U{ord(character):08x}"
