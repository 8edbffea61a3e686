"""What a store holds, as it was found on disk: what collecting garbage looks at."""

from dataclasses import dataclass

from reconciler.core.types import Bytes, ModelId, Sha256, VersionId


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One name of one file. Names that are hard links of each other share device and inode."""

    path: str
    """Relative to the store."""
    device: int
    inode: int
    links: int
    """How many names the file has, wherever they are."""
    size: Bytes
    age_seconds: float
    """Since its bytes were last written."""

    @property
    def identity(self) -> tuple[int, int]:
        return self.device, self.inode


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """The folder of one version."""

    model: ModelId
    version: VersionId
    path: str
    files: tuple[HeldFile, ...]

    def __str__(self) -> str:
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class HeldBlob:
    """One verified file under the name of its hash."""

    sha256: Sha256
    file: HeldFile


@dataclass(frozen=True, slots=True)
class Leftover:
    """A folder that a killed process was making or taking away; it has no name of a version."""

    path: str
    files: tuple[HeldFile, ...]
    age_seconds: float
    """Since a name in it was last made or taken away."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The whole store. What has no name that the store gives is not in here, and is never touched."""

    versions: tuple[HeldVersion, ...]
    blobs: tuple[HeldBlob, ...]
    partials: tuple[HeldFile, ...]
    """Downloads under way or broken off; their notes are not listed, they go with them."""
    leftovers: tuple[Leftover, ...]
