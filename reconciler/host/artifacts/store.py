"""The store: `blobs/sha256-<hex>`, and every version's files hard-linked to them.

A file has its final name only after its bytes were hashed and fsynced; a version's folder appears with all of
its files at once. No symbolic link inside the store is followed.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.core.errors import IntegrityError, StoreError
from reconciler.core.sizes import format_bytes
from reconciler.core.types import Bytes, ModelId, Sha256, VersionId, is_id, is_sha256
from reconciler.host.artifacts.disk import disk_errors
from reconciler.host.artifacts.exchange import exchange
from reconciler.host.artifacts.partial import Partial, open_partial
from reconciler.host.artifacts.trust import Identity, Trust, TrustView
from reconciler.host.files import sync_folder

MOST_RESERVE = Bytes(1024**3)
"""Left free for logs, journals and the state of everything else."""
_RESERVED_SHARE = 50
"""On a small file system the reserve is this part of it instead (2 %)."""
_READ = 8 * 1024**2
_NO_HARD_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Store:
    """A folder that keeps artifacts. Making one touches nothing; folders appear with the first file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.models = root / "models"
        self.partials = root / "partial"
        self._trust = Trust(root / "state" / "verified")

    def blob_path(self, sha256: Sha256) -> Path:
        if not is_sha256(sha256):
            raise StoreError(f"{sha256!r} is not a sha256")
        return self.blobs / f"sha256-{sha256}"

    def version_path(self, model: ModelId, version: VersionId) -> Path:
        """The folder of one version's files."""
        if not (is_id(model) and is_id(version)):
            raise StoreError(f"{model!r} and {version!r} cannot name a folder")
        return self.models / model / version

    def look(self) -> "StoreView":
        """What is there and trusted, for many questions at once. Reads only."""
        return StoreView(self, self._trust.load())

    def has(self, sha256: Sha256) -> bool:
        """Whether the blob is there and was hashed since it was last touched."""
        return self.look().has(sha256)

    def blob_names(self) -> tuple[Sha256, ...]:
        """The hashes that files in the store are named by, trusted or not."""
        try:
            names = sorted(entry.name.removeprefix("sha256-") for entry in os.scandir(self.blobs))
        except FileNotFoundError:
            return ()
        return tuple(Sha256(name) for name in names if is_sha256(name))

    def require_space(self, size: int, *, allocated: int = 0) -> None:
        """StoreError unless `size` bytes, `allocated` of them on disk already, fit beside the reserve."""
        self._folder(self.root)
        usage = shutil.disk_usage(self.root)
        reserve = min(MOST_RESERVE, usage.total // _RESERVED_SHARE)
        needed = max(size - allocated, 0) + reserve
        if needed > usage.free:
            raise StoreError(
                f"{self.root}: {format_bytes(size - allocated)} more do not fit;"
                f" {format_bytes(usage.free)} are free, of which {format_bytes(reserve)} stay reserved",
                hint=f"free {format_bytes(needed - usage.free)} there, or move `settings.store` elsewhere",
            )

    @contextmanager
    def partial(self, key: str, on_wait: Callable[[], None]) -> Iterator[Partial]:
        """The locked partial file for `key`; see `open_partial`."""
        self._folder(self.partials)
        with open_partial(self.partials, key, on_wait) as partial:
            yield partial

    def trusted_hash(self, partial: Partial) -> Sha256 | None:
        """The hash under which another process has taken this partial file into the store."""
        return self._trust.load().hash_of(os.fstat(partial.descriptor))

    def admit(self, partial: Partial, sha256: Sha256) -> None:
        """Make a partial file whose bytes were hashed to `sha256` a blob. A blob of that name is replaced."""
        for folder in (self.blobs, self._trust.folder):
            self._folder(folder)
        os.fchmod(partial.descriptor, 0o444)
        partial.sync()
        partial.path.rename(self.blob_path(sha256))
        sync_folder(self.blobs)
        self._trust.record(Identity.of(os.fstat(partial.descriptor)), sha256)
        partial.sidecar.unlink(missing_ok=True)

    def rehash(self, path: Path, expected: Sha256, progress: Callable[[int], None] | None = None) -> bool:
        """Hash a file of the store anew and remember the outcome; `progress` is told bytes as they are
        hashed.

        OSError where it cannot be read, FileNotFoundError where it is not there; StoreError where the outcome
        cannot be noted.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = _hash(descriptor, progress)
            identity = Identity.of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        with disk_errors(self.root):
            self._folder(self._trust.folder)
            self._trust.record(identity, expected if found == expected else None)
        return found == expected

    def link(
        self,
        model: ModelId,
        version: VersionId,
        files: Mapping[str, Sha256],
        metadata: Mapping[str, Any],
    ) -> None:
        """Make the version's folder: `files` by name, `metadata.json` and `sha256sum`; replaces what is
        there.

        IntegrityError where a blob is missing or was touched since it was hashed.
        """
        if not all(is_id(name) for name in files):
            raise StoreError(f"{model}@{version}: {', '.join(files)} are not all plain file names")
        target = self.version_path(model, version)
        view = self.look()
        with disk_errors(self.root):
            self._folder(target.parent)
            with _locked_folder(target.parent):
                self._make_version(view, target, files, metadata)

    def _make_version(
        self, view: "StoreView", target: Path, files: Mapping[str, Sha256], metadata: Mapping[str, Any]
    ) -> None:
        fresh, old = (target.with_name(f".{target.name}.{end}") for end in ("new", "old"))
        for leftover in (fresh, old):
            _remove_folder(leftover)
        fresh.mkdir()
        for name, sha256 in files.items():
            self._link_file(view, sha256, fresh / name)
        _write(fresh / "metadata.json", json.dumps(metadata, indent=2) + "\n")
        _write(fresh / "sha256sum", "".join(f"{sha}  {name}\n" for name, sha in files.items()))
        sync_folder(fresh)
        if not _is_folder(target):
            fresh.rename(target)
        elif not exchange(fresh, target):
            target.rename(old)
            fresh.rename(target)
        sync_folder(target.parent)
        for leftover in (fresh, old):
            _remove_folder(leftover)

    def _link_file(self, view: "StoreView", sha256: Sha256, target: Path) -> None:
        blob = self.blob_path(sha256)
        if not view.has(sha256):
            raise IntegrityError(
                f"{blob} is missing or was changed since it was verified",
                hint="run `modelctl pull` to fetch it again",
            )
        try:
            os.link(blob, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            self._copy_file(sha256, target)

    def _copy_file(self, sha256: Sha256, target: Path) -> None:
        """For file systems without hard links: a copy, hashed again, with a trust of its own."""
        blob = self.blob_path(sha256)
        self.require_space(blob.stat().st_size)
        with blob.open("rb") as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, _READ)
            copy.flush()
            os.fchmod(copy.fileno(), 0o444)
            os.fsync(copy.fileno())
        if not self.rehash(target, sha256):
            raise IntegrityError(f"{target}: the copy differs from {blob}", hint="check the disk (`dmesg`)")

    def _folder(self, folder: Path) -> None:
        """Make a folder of the store and those above it; StoreError where a link or a file is in the way."""
        if folder == self.root:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
            return
        self._folder(folder.parent)
        if not _is_folder(folder):
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)


class StoreView:
    """The store as it was recorded at one moment, compared with the files as they are when asked."""

    def __init__(self, store: Store, trust: TrustView) -> None:
        self._blobs = str(store.blobs)
        self._models = str(store.models)
        self._trust = trust

    def has(self, sha256: Sha256) -> bool:
        """Whether the blob is there and untouched since it was hashed."""
        status = _plain_file(f"{self._blobs}/sha256-{sha256}")
        return status is not None and self._trust.hash_of(status) == sha256

    def linked(self, model: ModelId, version: VersionId, name: str) -> Sha256 | None:
        """The hash of a version's file; None where it is missing or was touched since it was hashed."""
        status = _plain_file(f"{self._models}/{model}/{version}/{name}")
        return None if status is None else self._trust.hash_of(status)

    def size(self, model: ModelId, version: VersionId, name: str) -> Bytes | None:
        """The size of a version's file; None where `linked` is None."""
        status = _plain_file(f"{self._models}/{model}/{version}/{name}")
        return None if status is None or self._trust.hash_of(status) is None else Bytes(status.st_size)


def _plain_file(path: str) -> os.stat_result | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _is_folder(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no folder"
        raise StoreError(f"{path} is {kind}, which does not belong into the store", hint=f"move {path} away")
    return True


def _remove_folder(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)


def _write(path: Path, text: str) -> None:
    with path.open("x") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _hash(descriptor: int, progress: Callable[[int], None] | None) -> Sha256:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_READ))
    while count := os.readv(descriptor, [buffer]):
        digest.update(buffer[:count])
        if progress is not None:
            progress(count)
    return Sha256(digest.hexdigest())


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """One process at a time makes versions of a model."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
