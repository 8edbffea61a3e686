"""Hash what the store holds again and say what is not what it should be."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.core.types import Bytes, Sha256
from reconciler.host.artifacts.store import Store
from reconciler.kinds.artifact.layout import WantedVersion

_NOTHING = Bytes(0)


@dataclass(frozen=True, slots=True)
class Target:
    """A file, what it should be, and for which version; None where no version of the spec wants it."""

    path: Path
    sha256: Sha256
    version: WantedVersion | None
    size: Bytes = _NOTHING


@dataclass(frozen=True, slots=True)
class Finding:
    """How one file was found."""

    target: Target
    fault: str | None
    """None: it is what it should be."""


def targets(
    store: Store, wanted: Sequence[WantedVersion], *, named: bool, others: bool
) -> tuple[Target, ...]:
    """The files of the wanted versions, each inode once; with `others`, every other blob as well.

    A version of which nothing is there is passed over unless it was `named`; of any other, what is missing is
    a target, too.
    """
    found: dict[object, Target] = {}
    for version in wanted:
        folder = store.version_path(version.model, version.version)
        required = named or folder.exists()
        for file in version.files:
            if file.sha256 is not None:
                _add(found, Target(folder / file.name, file.sha256, version), required=required)
                _add(found, Target(store.blob_path(file.sha256), file.sha256, version), required=False)
    if others:
        for sha256 in store.blob_names():
            _add(found, Target(store.blob_path(sha256), sha256, None), required=False)
    return tuple(found.values())


def verify(store: Store, files: Sequence[Target], progress: Callable[[int], None]) -> Iterator[Finding]:
    """Hash each file; what fails loses its trust, so that the next pull or apply replaces it.

    Nothing is removed: whatever serves from a file goes on. `progress` is told bytes as they are hashed.
    """
    for target in files:
        try:
            good = store.rehash(target.path, target.sha256, progress)
        except FileNotFoundError:
            yield Finding(target, "is missing")
        except OSError as error:
            yield Finding(target, f"cannot be read: {error.strerror}")
        else:
            yield Finding(target, None if good else "its bytes are not what its hash says")


def _add(found: dict[object, Target], target: Target, *, required: bool) -> None:
    try:
        status = os.lstat(target.path)
    except FileNotFoundError:
        if required:
            found.setdefault(target.path, target)
    else:
        found.setdefault((status.st_dev, status.st_ino), replace(target, size=Bytes(status.st_size)))
