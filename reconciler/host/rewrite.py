"""New text for a file that belongs to a person."""

import os
import stat
from pathlib import Path

from reconciler.core.errors import Refused
from reconciler.host.files import atomic_write


def rewrite(path: Path, text: str) -> None:
    """Replace the text of a file that exists, whole or not at all; its mode and its owner stay.

    OSError where the file or its folder may not be written.
    """
    before = path.stat()
    atomic_write(path, text, stat.S_IMODE(before.st_mode))
    if os.geteuid() == 0:  # only root makes files that are somebody else's
        os.chown(path, before.st_uid, before.st_gid)


def require_rewritable(path: Path) -> None:
    """Refused where `rewrite` could not do its work, before anything depends on it."""
    if not (os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK | os.X_OK)):
        raise Refused(f"{path} may not be written", hint="run as the user who owns it")
