"""Files of `overrides-cache`: one small text per runtime, made to be tracked by Git."""

from pathlib import Path

from reconciler.core.errors import StoreError
from reconciler.host.files import atomic_write

_LARGEST = 1024 * 1024
"""Bytes; our own files have about two thousand."""


def read_placement(path: Path) -> str | None:
    """A file's text; None where there is none. What cannot be read reads as empty, which is no placement."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def write_placement(path: Path, text: str) -> None:
    """Replace a file whole; StoreError where its folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text)
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        in_the_way = path if path.is_dir() else path.parent
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", hint=f"remove {in_the_way}, which is in the way"
        ) from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}",
            hint=f"let whoever runs modelctl write in {path.parent}",
        ) from error
