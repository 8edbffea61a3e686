"""What a supervisor does by a unit's file: the same where only comments and marks differ. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from reconciler.core.units import SupervisorKind

_COMMENT = ("#", ";")


def executed(text: str, kind: SupervisorKind) -> str:
    """Equal for texts by which the supervisor does the same; what cannot be read stands for itself."""
    match kind:
        case SupervisorKind.SYSTEMD | SupervisorKind.SYSTEMD_USER:
            return text if "\\\n" in text else "\n".join(_systemd_lines(text))
        case SupervisorKind.SUPERVISORD:
            lines = (line.rstrip() for line in text.split("\n"))
            return "\n".join(line for line in lines if line and not line.lstrip().startswith(_COMMENT))
        case SupervisorKind.LAUNCHD:
            return _plist(text)
        case SupervisorKind.PM2:
            return _json(text)


def _systemd_lines(text: str) -> Iterator[str]:
    """Without comments, and sections and keys whose names begin with `X-`; no line goes on in another."""
    ignored = False
    for raw in text.split("\n"):
        line = raw.strip()
        if line.startswith("["):
            ignored = line.startswith("[X-")
        if line and not ignored and not line.startswith((*_COMMENT, "X-")):
            yield line


def _plist(text: str) -> str:
    import plistlib  # noqa: PLC0415 - only launchd's files, and only those that were changed

    try:
        return _canonical(plistlib.loads(text.encode()))
    except Exception:  # noqa: BLE001 - plistlib raises whatever a strange document leads it to
        return text


def _json(text: str) -> str:
    """PM2 reads `apps` alone."""
    try:
        return _canonical(json.loads(text)["apps"])
    except (ValueError, TypeError, KeyError):
        return text


def _canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True)
