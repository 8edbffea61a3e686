"""Decides what the store may lose. Pure: from what is referred to and what is there to what goes, and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.core.errors import Refused
from reconciler.core.holdings import HeldBlob, HeldFile, Holdings
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import Bytes, ModelId, Sha256, VersionId
from reconciler.kinds.artifact.layout import wanted_version
from reconciler.spec.model import Model, Spec

GRACE_SECONDS = 86400.0
"""What no version names yet, and a download that stands still, may belong to a pull that goes on."""

Key = tuple[ModelId, VersionId]


class Going(StrEnum):
    """What kind of thing goes."""

    VERSION = "version"
    LEFTOVER = "leftover"
    BLOB = "blob"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class References:
    """What has to stay."""

    versions: Mapping[Key, str]
    """Each version that is kept, with the reason."""
    hashes: frozenset[Sha256]
    """Of the files that the spec names for those."""
    listed: frozenset[Key]
    """Every version that the spec lists: those can be pulled again."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that goes; `size` is what that frees, each file counted once."""

    kind: Going
    name: str
    path: str
    """Relative to the store."""
    size: Bytes
    cause: str

    def document(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "name": self.name,
            "path": self.path,
            "size_bytes": self.size,
            "cause": self.cause,
        }


@dataclass(frozen=True, slots=True)
class Collection:
    """What goes, in the order in which it is removed, and what stays."""

    items: tuple[Item, ...]
    kept: tuple[tuple[str, str], ...]
    """Versions in the store that stay, each with its reason."""

    @property
    def size(self) -> Bytes:
        return Bytes(sum(item.size for item in self.items))


@dataclass(frozen=True, slots=True)
class _Doomed:
    kind: Going
    name: str
    path: str
    files: tuple[HeldFile, ...]
    cause: str


def references(specs: Sequence[Spec], units: Iterable[tuple[OwnedUnit, str]], keep: int) -> References:
    """What the specs and the units (each with the reason to keep its version) refer to.

    Of a model's versions the `keep` last of the spec's list stay, the current one, and a pinned one.
    Refused when no spec has any model: that is more likely a mistake than a wish.
    """
    models = [(spec, model) for spec in specs for model in spec.models]
    if not models:
        raise Refused(
            "the spec has no models at all, so everything in the store would go",
            hint="if that is meant, remove the store's folders `models` and `blobs` by hand",
        )
    versions: dict[Key, str] = {}
    for spec, model in models:
        for version, reason in _kept_of(spec, model, keep):
            versions.setdefault((model.model_id, version), reason)
    for unit, reason in units:
        versions.setdefault((unit.model, unit.version), reason)
    hashes = frozenset(
        file.sha256
        for _, model in models
        for version in model.versions
        if (model.model_id, VersionId(version.version_id)) in versions
        for file in wanted_version(model, version).files
        if file.sha256 is not None
    )
    listed = frozenset((m.model_id, VersionId(v.version_id)) for _, m in models for v in m.versions)
    return References(versions, hashes, listed)


def collect(holdings: Holdings, wanted: References, in_use: Mapping[str, int]) -> Collection:
    """What is not referred to; `in_use` are paths that processes hold (relative to the store → pid)."""
    kept: list[tuple[str, str]] = []
    needed: set[tuple[int, int]] = set()
    doomed: list[_Doomed] = []
    for version in holdings.versions:
        reason = wanted.versions.get((version.model, version.version)) or _holder(version.path, in_use)
        if reason is None:
            cause = _OLD if (version.model, version.version) in wanted.listed else _UNLISTED
            doomed.append(_Doomed(Going.VERSION, str(version), version.path, version.files, cause))
        else:
            kept.append((str(version), reason))
            needed |= {file.identity for file in version.files}
    named = {file.identity for one in doomed for file in one.files}
    doomed += [
        _Doomed(Going.LEFTOVER, left.path, left.path, left.files, "left behind by a killed process")
        for left in holdings.leftovers
        if left.age_seconds > GRACE_SECONDS
    ]
    doomed += [
        _Doomed(Going.BLOB, f"sha256-{blob.sha256[:12]}", blob.file.path, (blob.file,), why)
        for blob in holdings.blobs
        if blob.sha256 not in wanted.hashes
        and blob.file.identity not in needed
        and (why := _cause(blob, named)) is not None
    ]
    doomed += [
        _Doomed(Going.PARTIAL, file.path, file.path, (file,), "a download that stands still for a day")
        for file in holdings.partials
        if file.age_seconds > GRACE_SECONDS
    ]
    going = [one for one in doomed if _holder(one.path, in_use) is None]
    return Collection(tuple(_sized(going)), tuple(kept))


_OLD = "older than what is kept; the spec lists it, so it can be pulled again"
_UNLISTED = "the spec does not list it"


def _kept_of(spec: Spec, model: Model, keep: int) -> Iterator[tuple[VersionId, str]]:
    yield VersionId(model.current_version), "the spec serves it"
    pinned = spec.pinned(model.model_id)
    if pinned is not None:
        yield pinned, "it is pinned"
    for version in model.versions[-keep:]:
        yield (
            VersionId(version.version_id),
            f"one of the {keep} most recent" if keep > 1 else "the most recent",
        )


def _cause(blob: HeldBlob, named: set[tuple[int, int]]) -> str | None:
    """Why a blob goes to which nothing refers; None while it may belong to a pull that goes on."""
    if blob.file.identity in named:
        return "only versions that go have it"
    return "no version has it" if blob.file.age_seconds > GRACE_SECONDS else None


def _holder(path: str, in_use: Mapping[str, int]) -> str | None:
    for held, pid in in_use.items():
        if held == path or held.startswith(f"{path}/"):
            return f"process {pid} has it open"
    return None


def _sized(going: Sequence[_Doomed]) -> Iterator[Item]:
    """Bytes are freed only when the last name of a file goes; the first item that names it is told of."""
    names = Counter(file.identity for one in going for file in one.files)
    counted: set[tuple[int, int]] = set()
    for one in going:
        size = 0
        for file in one.files:
            if names[file.identity] >= file.links and file.identity not in counted:
                counted.add(file.identity)
                size += file.size
        yield Item(one.kind, one.name, one.path, Bytes(size), one.cause)
