"""What an importer found, before it is fitted into a spec."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FlagValue = bool | int | float | str | Sequence[str]

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_ID = 80


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a person should know of what was taken over, or why something was not."""

    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model as it is served elsewhere; None is what nothing was said about."""

    name: str
    """In its old home's words."""
    id: str
    gguf_url: str
    version_id: str = "imported-01"
    sha256: str | None = None
    created_at: str | None = None
    notes: str | None = None
    display_name: str | None = None
    mmproj: Mapping[str, Any] | None = None
    loras: tuple[Mapping[str, Any], ...] = ()
    draft: Mapping[str, Any] | None = None
    context_tokens: int | None = None
    """Of one slot."""
    parallel: int = 1
    residency: Literal["always", "on_demand"] = "always"
    memory_limit: int | None = None
    embedding: bool = False
    strategy: Literal["manual", "fit"] | None = None
    """Who decided which layer lies where; None leaves that to placement."""
    port: int | None = None
    flags: Mapping[str, FlagValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundPersona:
    """A further name for a found model, with what it adds."""

    id: str
    base: str
    """Id of the found model."""
    system_prompt: str | None = None
    messages: tuple[tuple[str, str], ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that one import found."""

    models: tuple[FoundModel, ...] = ()
    personas: tuple[FoundPersona, ...] = ()
    remarks: tuple[Remark, ...] = ()
    left_out: tuple[Remark, ...] = ()


def to_id(name: str) -> str:
    """The id nearest to a name: `hf.co/org/model:Q4` becomes `hf.co-org-model-Q4`."""
    return _NOT_IN_IDS.sub("-", name).strip("-.")[:_LONGEST_ID] or "model"
