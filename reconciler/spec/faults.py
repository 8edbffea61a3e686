"""What is wrong at a place of the spec, before the place is looked up in the text."""

from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""Keys and list indexes from the root of one file, or of the merged spec."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One sentence about one place."""

    path: Path
    what: str
    hint: str | None = None
    at_key: bool = False
    """Whether the key is wrong, not its value."""
    other: Path | None = None
    """A second place that belongs to the fault, such as the first of two equal ids."""


def subject(data: Any, path: Path) -> tuple[str, str]:
    """The thing that `path` belongs to and what of it, for a sentence: ``model `a`: ``, `` `versions` ``.

    Either may be empty, not both, except for the root.
    """
    owners: list[str] = []
    rest: list[str] = []
    for depth, part in enumerate(path):
        is_index = isinstance(data, list) and isinstance(part, int)
        data = child(data, part)
        section = path[depth - 1] if depth else None
        noun = _NOUNS.get(section) if isinstance(section, str) else None
        if noun and is_index:
            owners.append(f"{noun} {_name(data, int(part))}")
            rest = []
        elif section == "profiles":
            owners.append(f"profile `{part}`")
            rest = []
        elif is_index:
            rest[-1:] = [f"{rest[-1] if rest else ''}[{part}]"]
        else:
            rest.append(str(part))
    prefix = "".join(f"{owner}: " for owner in owners)
    if rest:
        return prefix, f"`{'.'.join(rest)}`"
    return prefix.removesuffix(f"{owners[-1]}: ") if owners else "", owners[-1] if owners else ""


_NOUNS = {"models": "model", "versions": "version", "personas": "persona"}


def _name(item: Any, index: int) -> str:
    for key in ("id", "version_id"):
        if isinstance(item, dict) and isinstance(item.get(key), str):
            return f"`{item[key][:80]}`"
    return str(index + 1)


ABSENT = object()
"""What `child` gives where nothing stands; null stands for itself."""


def child(data: Any, part: str | int) -> Any:
    """What stands in a mapping or list under a key or index, or ABSENT."""
    if isinstance(data, dict):
        return data.get(part, ABSENT)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return ABSENT
