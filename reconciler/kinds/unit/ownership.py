"""Whose unit file this is: written into every rendered file, read back before anything is touched."""

import json
import re
from dataclasses import dataclass

from reconciler.core.errors import FormatError
from reconciler.core.units import SupervisorKind

_OWNER = re.compile(r"[A-Za-z0-9]+(?:[._@:+-][A-Za-z0-9]+)*")
_HASH = re.compile(r"[0-9a-f:]+")
_LINE = re.compile(
    r"^(?:; | {2}<!-- )?X-Modelctl-(?P<key>Owner|Generation|Config-Hash)=(?P<value>\S+)(?: -->)?$",
    re.MULTILINE,
)
"""A line of its own in all three line formats. Values of a unit hold no line ends, so none can imitate it."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The mark in a rendered file. `owner` is the id of one modelctl state, safe inside every format."""

    owner: str
    generation: int
    config_hash: str

    def __post_init__(self) -> None:
        if not _OWNER.fullmatch(self.owner) or len(self.owner) > 128:  # noqa: PLR2004 - far above any id we make
            raise FormatError(
                f"{self.owner!r} cannot be an owner id",
                hint="use letters and digits, joined by single . _ @ : + or -",
            )
        if self.generation < 0 or not _HASH.fullmatch(self.config_hash):
            raise FormatError(
                f"{self.generation} / {self.config_hash!r} is no generation and configuration hash"
            )


def ownership_of(text: str, kind: SupervisorKind) -> Ownership | None:
    """Read the mark of a unit file; None when modelctl did not write it, or the mark is damaged."""
    marks = _json_marks(text) if kind is SupervisorKind.PM2 else _line_marks(text)
    try:
        return Ownership(marks["Owner"], int(marks["Generation"]), marks["Config-Hash"])
    except (KeyError, ValueError, FormatError):
        return None


def _line_marks(text: str) -> dict[str, str]:
    return {found["key"]: found["value"] for found in _LINE.finditer(text)}


def _json_marks(text: str) -> dict[str, str]:
    try:
        marks = json.loads(text)["modelctl"]
        return {
            "Owner": str(marks["owner"]),
            "Generation": str(marks["generation"]),
            "Config-Hash": str(marks["config_hash"]),
        }
    except (ValueError, KeyError, TypeError):
        return {}
