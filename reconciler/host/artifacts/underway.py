"""How far a file on its way into the store is, as anybody can see it from outside."""

import json
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.types import Bytes, Sha256
from reconciler.host.artifacts.store import Store

_BLOCK = 512
"""Bytes of `st_blocks`, whatever the file system's own are (inode(7))."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A partial file."""

    done: Bytes
    """What lies on disk of it."""
    total: Bytes | None
    """None until the download has said so."""


def under_way(store: Store, sha256: Sha256) -> UnderWay | None:
    """None when nobody has begun, or it has arrived. Takes no lock and disturbs nobody."""
    partial: Path = store.partials / f"{sha256}.part"
    try:
        found = partial.lstat()
    except OSError:
        return None
    try:
        total = int(json.loads(partial.with_suffix(".json").read_bytes())["size"])
    except (OSError, ValueError, KeyError, TypeError):
        total = None
    done = min(found.st_blocks * _BLOCK, found.st_size)
    return UnderWay(
        Bytes(done if total is None else min(done, total)), None if total is None else Bytes(total)
    )
