"""The active profile, for other programs to read: one line in `<state>/gpu_profile`."""

import os
import time
from pathlib import Path

from reconciler.core.types import ProfileName, is_id
from reconciler.host.files import atomic_write


def profile_path(state: Path) -> Path:
    return state / "gpu_profile"


def write_profile(path: Path, profile: ProfileName | None) -> None:
    """Say which profile is active; an empty file says none. The file's time is that of the last call.

    A profile that is in the file already is not written again. Raises OSError.
    """
    content = f"{profile or ''}\n"
    try:
        if path.read_text() == content:
            os.utime(path)
            return
    except (FileNotFoundError, UnicodeDecodeError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_write(path, content)


def read_profile(path: Path) -> tuple[ProfileName | None, float]:
    """The profile and how many seconds ago it was said; (None, inf) where nothing usable is there."""
    try:
        text = path.read_text().strip()
        age = max(0.0, time.time() - path.stat().st_mtime)
    except (OSError, UnicodeDecodeError):
        return None, float("inf")
    return (ProfileName(text), age) if is_id(text) else (None, float("inf"))
