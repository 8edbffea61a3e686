"""Which files a version consists of, and how they are called in its folder. Pure."""

import re
from dataclasses import dataclass

from reconciler.core.places import Places
from reconciler.core.types import ModelId, Sha256, VersionId
from reconciler.spec.model import Companion, Model, Version

_SHARD = re.compile(r"^(?P<stem>.*)-00001-of-(?P<count>\d{5})(?P<end>\.gguf)$")


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file of a version, as the spec wants it."""

    name: str
    """In the version's folder."""
    at: tuple[str | int, ...]
    """Where in the version the spec speaks of it: (), ("mmproj",), ("loras", 0) or ("draft",)."""
    url: str
    revision: str | None
    sha256: Sha256 | None

    @property
    def resolved(self) -> bool:
        """Whether the spec says exactly which bytes are meant."""
        return self.sha256 is not None and (self.revision is not None or not self.url.startswith("hf://"))


@dataclass(frozen=True, slots=True)
class WantedVersion:
    """The artifact set of one version; `files` begins with the GGUF or its shards in order."""

    model: ModelId
    version: VersionId
    files: tuple[WantedFile, ...]

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class ArtifactPaths:
    """Where a runtime finds a version's files."""

    model: str
    """The GGUF, or the first shard: llama.cpp finds the others by its name."""
    mmproj: str | None
    loras: tuple[tuple[str, float], ...]
    """Paths and scales."""
    draft: str | None


def wanted_version(model: Model, version: Version) -> WantedVersion:
    """The files of a version that has passed the spec's checks."""
    files = [
        WantedFile(name, (), url, version.revision, sha256)
        for name, url, sha256 in zip(
            _gguf_names(version.gguf_url), shard_urls(version.gguf_url), _hashes(version), strict=True
        )
    ]
    files += [
        WantedFile(name, at, companion.url, companion.revision, _sha256(companion))
        for name, at, companion in _companions(version)
    ]
    return WantedVersion(model.model_id, VersionId(version.version_id), tuple(files))


def artifact_paths(places: Places, model: ModelId, version: Version) -> ArtifactPaths:
    """The paths of a version's files in the store, whether they are there yet or not."""
    folder = places.version(model, version.version_id)
    return ArtifactPaths(
        model=f"{folder}/{_gguf_names(version.gguf_url)[0]}",
        mmproj=f"{folder}/mmproj.gguf" if version.mmproj else None,
        loras=tuple((f"{folder}/{_lora_name(i)}", lora.scale) for i, lora in enumerate(version.loras)),
        draft=f"{folder}/draft.gguf" if version.draft else None,
    )


def shard_urls(url: str) -> tuple[str, ...]:
    """All files of a GGUF by its first one's name: itself, or `…-00001-of-00003.gguf` and those after it."""
    found = _SHARD.match(url)
    if found is None or int(found["count"]) == 0:
        return (url,)
    count = int(found["count"])
    return tuple(f"{found['stem']}-{number:05}-of-{count:05}{found['end']}" for number in range(1, count + 1))


def _gguf_names(url: str) -> tuple[str, ...]:
    count = len(shard_urls(url))
    return ("model.gguf",) if count == 1 else shard_urls(f"model-00001-of-{count:05}.gguf")


def _hashes(version: Version) -> tuple[Sha256 | None, ...]:
    return version.hashes or (None,) * len(shard_urls(version.gguf_url))


def _companions(version: Version) -> list[tuple[str, tuple[str | int, ...], Companion]]:
    found: list[tuple[str, tuple[str | int, ...], Companion]] = []
    if version.mmproj:
        found.append(("mmproj.gguf", ("mmproj",), version.mmproj))
    found += [(_lora_name(index), ("loras", index), lora) for index, lora in enumerate(version.loras)]
    if version.draft:
        found.append(("draft.gguf", ("draft",), version.draft))
    return found


def _lora_name(index: int) -> str:
    return f"lora-{index + 1}.gguf"


def _sha256(companion: Companion) -> Sha256 | None:
    return None if companion.sha256 is None else Sha256(companion.sha256)
