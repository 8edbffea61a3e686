"""Edits of a spec folder in its own words: which file holds the model, and where in it the edit belongs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from reconciler.core.errors import UsageError
from reconciler.core.suggest import did_you_mean
from reconciler.core.types import ModelId, VersionId
from reconciler.spec.faults import Path
from reconciler.spec.load import load
from reconciler.spec.splice import append_item, remove_key, set_value
from reconciler.spec.syntax import Document, parse

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class SetVersionFields:
    """Fill in what a version's source was resolved to; None leaves a field as it is."""

    model: ModelId
    version: VersionId
    revision: str | None = None
    sha256: str | tuple[str, ...] | None = None
    companion: Path = ()
    """Of which file: () for the GGUF itself, `("mmproj",)`, `("draft",)` or `("loras", 0)`."""


@dataclass(frozen=True, slots=True)
class SetCurrentVersion:
    """Choose the version to serve."""

    model: ModelId
    version: VersionId


@dataclass(frozen=True, slots=True)
class SetPin:
    """Pin a model to a version; None takes the pin away."""

    model: ModelId
    version: VersionId | None


@dataclass(frozen=True, slots=True)
class AppendVersion:
    """Add a version behind the others; `fields` is what the YAML shall say, in its order."""

    model: ModelId
    fields: Mapping[str, Any]


Edit = SetVersionFields | SetCurrentVersion | SetPin | AppendVersion


def edit(texts: Mapping[str, str], edits: Iterable[Edit]) -> dict[str, str]:
    """Make the edits in their order and return the new texts of the files that changed.

    All other bytes stay as they are: comments, quotes, line ends, byte order marks. The result is loaded as a
    whole; SpecError says why it would be no valid spec, or which place cannot be edited without changing
    more, and then nothing is to be written. UsageError: there is no such model or version.
    """
    documents = [parse(file, texts[file]) for file in sorted(texts)]
    for wanted in edits:
        documents = _make(documents, wanted)
    after = {
        document.file: (_BOM if texts[document.file].startswith(_BOM) else "") + document.text
        for document in documents
    }
    load(after)
    return {file: text for file, text in after.items() if text != texts[file]}


def _make(documents: list[Document], wanted: Edit) -> list[Document]:
    place, at = _find_model(documents, wanted.model)
    match wanted:
        case SetVersionFields():
            change = partial(_set_version_fields, wanted=wanted, at=at)
        case SetCurrentVersion():
            _index_of_version(documents[place], at, wanted.version)
            change = partial(set_value, path=(*at, "current_version"), value=wanted.version, after=("id",))
        case AppendVersion():
            change = partial(append_item, path=(*at, "versions"), item=wanted.fields)
        case SetPin():
            place = _find_pins(documents, wanted.model, place)
            path: Path = ("pins", wanted.model)
            if wanted.version is not None:
                change = partial(set_value, path=path, value=wanted.version)
            elif wanted.model in (documents[place].data.get("pins") or {}):
                change = partial(remove_key, path=path)
            else:
                return documents
    return [change(document) if index == place else document for index, document in enumerate(documents)]


def _set_version_fields(document: Document, wanted: SetVersionFields, at: Path) -> Document:
    version = _index_of_version(document, at, wanted.version)
    at = (*at, "versions", version, *wanted.companion)
    if wanted.revision is not None:
        document = set_value(document, (*at, "revision"), wanted.revision, after=("gguf_url", "url"))
    if wanted.sha256 is not None:
        document = set_value(document, (*at, "sha256"), wanted.sha256, after=("revision", "gguf_url", "url"))
    return document


def _find_model(documents: list[Document], model: ModelId) -> tuple[int, Path]:
    known: list[str] = []
    for place, document in enumerate(documents):
        for index, entry in enumerate(_entries(document.data, "models")):
            if entry.get("id") == model:
                return place, ("models", index)
            known.append(str(entry.get("id")))
    raise UsageError(
        f"the spec has no model `{model}`", hint=did_you_mean(model, known) or "`modelctl list` shows them"
    )


def _index_of_version(document: Document, at: Path, version: VersionId) -> int:
    model = _entries(document.data, "models")[int(at[1])]
    versions = [str(entry.get("version_id")) for entry in _entries(model, "versions")]
    if version not in versions:
        hint = did_you_mean(version, versions) or f"versions there: {', '.join(versions)}"
        raise UsageError(f"model `{model['id']}` has no version `{version}`", hint=hint)
    return versions.index(version)


def _find_pins(documents: list[Document], model: ModelId, home: int) -> int:
    """The file that pins the model, else one that holds pins, else the model's own."""
    sections = [document.data.get("pins") for document in documents]
    for place, section in enumerate(sections):
        if isinstance(section, dict) and model in section:
            return place
    return next((place for place, document in enumerate(documents) if "pins" in document.data), home)


def _entries(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = data.get(key)
    return (
        [entry if isinstance(entry, dict) else {} for entry in entries] if isinstance(entries, list) else []
    )
