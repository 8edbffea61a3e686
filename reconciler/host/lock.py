"""The locks around apply and around the watcher: released by the kernel when their holder dies."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.core.errors import Refused


@contextmanager
def apply_lock(path: Path) -> Iterator[None]:
    """Hold the lock for the block; Refused names the holder when somebody else has it."""
    with _hold(
        path,
        "another modelctl is changing this machine",
        "wait for it to end, or stop it; the lock goes with its process",
    ):
        yield


@contextmanager
def watch_lock(path: Path) -> Iterator[None]:
    """One watcher per state folder: hold the lock for the block; Refused names the one that runs."""
    with _hold(path, "a watcher runs here already", "stop that one, or leave it to it: `modelctl status`"):
        yield


@contextmanager
def _hold(path: Path, refusal: str, hint: str) -> Iterator[None]:
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only what changes the machine pays for it

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    note = path.with_suffix(".holder")
    try:
        lock.acquire()
    except Timeout:
        raise Refused(f"{refusal}: {_holder(note)}", hint=hint) from None
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv)}))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        holder = json.loads(note.read_text())
        return f"pid {holder['pid']} ({holder['command']})"
    except (OSError, ValueError, KeyError):
        return "it has only just begun"
