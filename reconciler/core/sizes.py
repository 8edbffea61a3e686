"""Byte sizes and durations as people write them."""

import re

from reconciler.core.types import Bytes

_UNITS = {
    "": 1,
    "b": 1,
    "k": 1024, "kib": 1024, "kb": 1000,
    "m": 1024**2, "mib": 1024**2, "mb": 1000**2,
    "g": 1024**3, "gib": 1024**3, "gb": 1000**3,
    "t": 1024**4, "tib": 1024**4, "tb": 1000**4,
}  # fmt: skip
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_bytes(text: str | int) -> Bytes:
    """Read `20GiB`, `20G` (binary), `20GB` (decimal) or plain bytes; ValueError says what was expected."""
    if isinstance(text, int):
        return Bytes(text)
    found = _SIZE.match(text)
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"{text!r} is not a size such as 20GiB or 512MiB")
    return Bytes(int(float(found[1]) * _UNITS[found[2].lower()]))


def format_bytes(size: int) -> str:
    """The largest binary unit with at most one decimal: 4.7 GiB, 512 MiB, 0 B."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:  # noqa: PLR2004 - the binary step
            return f"{value:.0f} {unit}" if value == int(value) or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def parse_seconds(text: str | float) -> float:
    """Read `30m`, `1h30m`, `500ms` or plain seconds; ValueError says what was expected."""
    if isinstance(text, int | float):
        return float(text)
    compact = text.replace(" ", "")
    parts = _DURATION.findall(compact)
    if parts and "".join(number + unit for number, unit in parts) == compact:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    raise ValueError(f"{text!r} is not a duration such as 30m, 90s or 1h30m")


def format_seconds(seconds: float) -> str:
    """Two units at most: 3d4h, 5m, 12s."""
    left = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length}{unit}")
            left %= length
    return "".join(parts[:2])
