"""Lockout files: our own and those that other programs write. What they say is read in `reconciler.gpu`."""

import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.core.gpu import LockoutText
from reconciler.host.files import atomic_write
from reconciler.host.local_time import LOCAL

FOREIGN = "/etc/modelctl/gpu_lockout"
"""Where other programs say which GPUs they keep, unless `$MODELCTL_GPU_LOCKOUT` names another file."""
_MAX_BYTES = 65536


def own_path(state: Path) -> Path:
    """Where `modelctl gpu lock` keeps its lockouts, below the state folder."""
    return state / "gpu-lockout.json"


def lockout_paths(state: Path, environment: Mapping[str, str] = os.environ) -> tuple[Path, Path]:
    """Our own file and that of other programs."""
    return own_path(state), Path(environment.get("MODELCTL_GPU_LOCKOUT") or FOREIGN)


def read_lockouts(paths: Iterable[Path]) -> tuple[LockoutText, ...]:
    """Read each file; what is wrong with one is said in place of its text."""
    return tuple(_read(path) for path in paths)


def edit_lockouts(path: Path, change: Callable[[LockoutText], list[dict[str, Any]]]) -> None:
    """Replace our own lockout file by what `change` makes of it; an empty list removes the file.

    One edit at a time: a second waits for the first. Raises OSError.
    """
    from filelock import FileLock  # noqa: PLC0415 - only what changes the machine pays for it

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        documents = change(_read(path))
        if documents:
            atomic_write(path, json.dumps(documents, indent=2, ensure_ascii=False) + "\n")
        else:
            path.unlink(missing_ok=True)


def _read(path: Path) -> LockoutText:
    try:
        # Other programs make this file: a pipe in its place must not hold up whoever looks.
        if not stat.S_ISREG(path.stat().st_mode):
            return LockoutText(str(path), problem="not a regular file")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
            written = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, LOCAL)
    except FileNotFoundError:
        return LockoutText(str(path))
    except OSError as error:
        return LockoutText(str(path), problem=error.strerror or "cannot be read")
    if len(content) > _MAX_BYTES:
        return LockoutText(str(path), problem="larger than 64 KiB")
    try:
        return LockoutText(str(path), content.decode(), written)
    except UnicodeDecodeError:
        return LockoutText(str(path), problem="not UTF-8 text")
