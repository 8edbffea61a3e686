"""Decides what is missing in the store. Pure: from what is wanted and was seen to operations with causes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.operations import Operation, Verb, operation_id
from reconciler.core.types import ModelId, Sha256, VersionId
from reconciler.kinds.artifact.layout import WantedFile, WantedVersion

KIND = "artifact"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Payload of a pull: one file into the store."""

    url: str
    revision: str | None
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Link:
    """Payload of a link: one version's folder, all files at once."""

    model: ModelId
    version: VersionId
    files: tuple[WantedFile, ...]


@dataclass(frozen=True, slots=True)
class SeenStore:
    """What a look at the store showed of the wanted files."""

    blobs: frozenset[Sha256]
    """Verified blobs, as far as they were asked for: those of files that are not in place."""
    linked: Mapping[tuple[ModelId, VersionId, str], Sha256]
    """The verified hash of each file that is in its version's folder."""


@dataclass(frozen=True, slots=True)
class ArtifactPlan:
    """Operations in an order in which they can run, and the models that cannot be provided for."""

    operations: tuple[Operation, ...]
    blocked: Mapping[ModelId, tuple[str, str | None]]
    """Reason and hint."""


def plan_artifacts(wanted: Sequence[WantedVersion], seen: SeenStore) -> ArtifactPlan:
    """Per version: pull what no blob has, then link; a version that is in place yields nothing.

    A file that several versions want is pulled once.
    """
    pulls: dict[Sha256, Operation] = {}
    links: list[Operation] = []
    blocked: dict[ModelId, tuple[str, str | None]] = {}
    for version in wanted:
        misplaced = [file for file in version.files if not _in_place(version, file, seen)]
        if reason := _blocked(version):
            blocked[version.model] = reason
        elif misplaced:
            absent = [file for file in misplaced if file.sha256 not in seen.blobs]
            for file in absent:
                pull = _pull(version, file)
                pulls.setdefault(pull.payload.sha256, pull)
            needs = tuple(dict.fromkeys(pulls[_hash(file)].id for file in absent))
            links.append(_link(version, misplaced, needs))
    return ArtifactPlan((*pulls.values(), *links), blocked)


def is_in_place(version: WantedVersion, seen: SeenStore) -> bool:
    """Whether the spec says which bytes are meant and all of them are where a runtime looks for them."""
    return all(file.resolved and _in_place(version, file, seen) for file in version.files)


def link_id(model: ModelId, version: VersionId) -> str:
    """The operation after which a version's files are in place: what a unit that reads them depends on."""
    return operation_id(KIND, Verb.LINK, f"{model}@{version}")


def _in_place(version: WantedVersion, file: WantedFile, seen: SeenStore) -> bool:
    return file.sha256 is not None and (
        seen.linked.get((version.model, version.version, file.name)) == file.sha256
    )


def _blocked(version: WantedVersion) -> tuple[str, str | None] | None:
    for file in version.files:
        if not file.resolved:
            lacking = "sha256" if file.sha256 is None else "revision"
            return (
                f"{version}: the spec does not say which {lacking} {file.name} has",
                f"run `modelctl pull {version.model}`, which fills it in, and commit",
            )
    return None


def _pull(version: WantedVersion, file: WantedFile) -> Operation:
    return Operation(
        verb=Verb.PULL,
        kind=KIND,
        resource=f"{version}/{file.name}",
        cause=f"not in the store; from {file.url}",
        payload=Fetch(file.url, file.revision, _hash(file)),
    )


def _link(version: WantedVersion, misplaced: Sequence[WantedFile], needs: tuple[str, ...]) -> Operation:
    if len(misplaced) == len(version.files):
        cause = "not in place"
    else:
        cause = f"not in place: {', '.join(file.name for file in misplaced)}"
    return Operation(
        verb=Verb.LINK,
        kind=KIND,
        resource=str(version),
        cause=cause,
        depends_on=needs,
        payload=Link(version.model, version.version, version.files),
    )


def _hash(file: WantedFile) -> Sha256:
    if file.sha256 is None:
        raise ValueError(f"{file.name} has no sha256; such a version is blocked before")
    return file.sha256
