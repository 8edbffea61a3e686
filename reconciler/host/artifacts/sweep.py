"""What is in the store, and taking things out of it so that a kill at any moment leaves no half version."""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from reconciler.core.errors import StoreError
from reconciler.core.holdings import HeldBlob, HeldFile, HeldVersion, Holdings, Leftover
from reconciler.core.types import Bytes, ModelId, Sha256, VersionId, is_id
from reconciler.host.artifacts.partial import open_partial
from reconciler.host.artifacts.store import Store

_BLOB = re.compile(r"^sha256-([0-9a-f]{64})$")
_LEFTOVER = re.compile(r"^\..+\.(new|old)$")
_LINK = ".link"
"""Ends the name under which another store's file is hashed before it is taken over."""


class _BusyError(Exception):
    """Somebody is downloading this very file."""


def survey(store: Store) -> Holdings:
    """Everything that carries a name which the store gives. Reads only, and follows no symbolic link."""
    now = time.time()
    versions, leftovers = [], []
    for model in _folders(store.models):
        if not is_id(model.name):
            continue
        for folder in _folders(Path(model)):
            files = tuple(_files(store.root, Path(folder)))
            path = _relative(store.root, folder)
            if _LEFTOVER.match(folder.name):
                leftovers.append(Leftover(path, files, now - folder.stat(follow_symlinks=False).st_mtime))
            elif is_id(folder.name):
                versions.append(HeldVersion(ModelId(model.name), VersionId(folder.name), path, files))
    blobs = [
        HeldBlob(Sha256(found[1]), file)
        for file in _files(store.root, store.blobs)
        if (found := _BLOB.match(Path(file.path).name))
    ]
    return Holdings(tuple(versions), tuple(blobs), tuple(_partials(store)), tuple(leftovers))


def remove_folder(store: Store, path: str) -> None:
    """Remove a version's folder, or what is left of one; its name is gone before its files are."""
    folder = store.root / path
    if not folder.name.startswith("."):
        going = folder.with_name(f".{folder.name}.old")
        if going.is_dir():
            shutil.rmtree(going)
        folder = folder.rename(going)
    shutil.rmtree(folder)
    with suppress(OSError):  # other versions of the model are still there
        folder.parent.rmdir()


def remove_blob(store: Store, path: str) -> None:
    (store.root / path).unlink(missing_ok=True)


def remove_partial(store: Store, path: str) -> None:
    """Remove a broken-off download and its notes, or a link that was being taken over; one that goes on
    again by now stays.
    """

    def give_up() -> None:
        raise _BusyError

    with suppress(_BusyError), open_partial(store.partials, Path(path).stem, give_up) as partial:
        if path.endswith(_LINK):
            (store.root / path).unlink(missing_ok=True)
            if partial.remembered() is not None:
                return  # a download of the same file, which is judged by itself
        partial.discard()


def _partials(store: Store) -> Iterator[HeldFile]:
    yield from (file for file in _files(store.root, store.partials) if file.path.endswith(".part"))
    # A further name of another program's file, whose bytes may be old: it is the name that stands still.
    links = _files(store.root, store.partials, aged_by="st_ctime")
    yield from (file for file in links if file.path.endswith(_LINK))


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]


def _files(
    root: Path, folder: Path, *, aged_by: Literal["st_mtime", "st_ctime"] = "st_mtime"
) -> Iterator[HeldFile]:
    now = time.time()
    for entry in _entries(folder):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            yield HeldFile(
                path=_relative(root, entry),
                device=status.st_dev,
                inode=status.st_ino,
                links=status.st_nlink,
                size=Bytes(status.st_size),
                age_seconds=now - getattr(status, aged_by),
            )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Sorted by name; none where the folder was never made. StoreError where it cannot be read."""
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be read: {error.strerror}", hint="run as the user who owns the store"
        ) from error


def _relative(root: Path, entry: os.DirEntry[str]) -> str:
    return os.path.relpath(entry.path, root)
