"""Models of a local Ollama store as plain values: names, manifests, and what a manifest's layers say.

Format: https://github.com/ollama/ollama, `manifest` and `types/model`. A manifest is the JSON file
`manifests/<host>/<namespace>/<model>/<tag>`; its layers are `blobs/sha256-<64 hex>`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reconciler.core.errors import FormatError, SourceError
from reconciler.core.types import Bytes, Sha256

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_LAYER = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,253}(?::[0-9]{1,5})?")
_SCHEMA = 2
_MOST_PARTS = 3


class OllamaName(NamedTuple):
    """Where a manifest lies; each part is a single safe path part."""

    host: str
    namespace: str
    model: str
    tag: str

    def __str__(self) -> str:
        """As Ollama shows it: what is the default is left out, but for the tag."""
        path = self.model
        if (self.host, self.namespace) != (DEFAULT_HOST, DEFAULT_NAMESPACE):
            path = f"{self.namespace}/{path}"
        if self.host != DEFAULT_HOST:
            path = f"{self.host}/{path}"
        return f"{path}:{self.tag}"


@dataclass(frozen=True, slots=True)
class OllamaFile:
    """A layer's blob, by what its manifest says."""

    sha256: Sha256
    size: Bytes


@dataclass(frozen=True, slots=True)
class OllamaManifest:
    """What a manifest names. The texts are still blobs."""

    model: OllamaFile
    projector: OllamaFile | None = None
    adapters: tuple[OllamaFile, ...] = ()
    texts: Mapping[str, OllamaFile] = field(default_factory=dict)
    """By kind: `system`, `params`, `messages`, `template`."""

    def files(self) -> Mapping[str, OllamaFile]:
        """The GGUF files by the fragment that a source names them with: none, `projector`, `adapter-2`, …"""
        found = {"": self.model}
        if self.projector is not None:
            found["projector"] = self.projector
        for number, adapter in enumerate(self.adapters, start=1):
            found["adapter" if number == 1 else f"adapter-{number}"] = adapter
        return found


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """One tag with the texts of its layers."""

    name: OllamaName
    modified: float
    """Of the manifest, in seconds since the epoch."""
    manifest: OllamaManifest
    system: str | None = None
    template: str | None = None
    """In Go's template language; llama.cpp cannot use it."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[tuple[str, str], ...] = ()
    """Role and content."""


_TEXTS = ("system", "params", "messages", "template")
_IGNORED = ("license", "prompt", "embed")


def parse_name(text: str) -> OllamaName:
    """Read `[host/][namespace/]model[:tag]`; SourceError for what could leave the folder of manifests."""
    path, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        path, tag = text, DEFAULT_TAG
    parts = path.split("/")
    host, namespace = DEFAULT_HOST, DEFAULT_NAMESPACE
    model = parts[-1]
    if len(parts) > 1:
        namespace = parts[-2]
    if len(parts) == _MOST_PARTS:
        host = parts[0]
    safe = _HOST.fullmatch(host) and all(_PART.fullmatch(part) for part in (namespace, model, tag))
    if len(parts) > _MOST_PARTS or not safe:
        raise SourceError(
            f"{text!r} is no name of an Ollama model", hint="write it as `ollama list` shows it: llama3.2:3b"
        )
    return OllamaName(host, namespace, model, tag)


def parse_manifest(content: bytes) -> OllamaManifest:
    """Read a manifest; FormatError says why its model cannot be taken over."""
    if not content.strip():
        raise FormatError("its manifest is empty", hint="pull the model again with Ollama")
    try:
        document = json.loads(content)
        if document["schemaVersion"] != _SCHEMA:
            raise FormatError(f"its manifest has the schema version {document['schemaVersion']!r}, not 2")
        layers = [(str(layer["mediaType"]), layer) for layer in document["layers"]]
        by_kind: dict[str, list[OllamaFile]] = {}
        for media_type, layer in layers:
            kind = media_type.partition(";")[0].strip()
            _refuse_foreign(kind)
            by_kind.setdefault(kind.removeprefix(_LAYER), []).append(_file(layer))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(
            "its manifest is damaged or not complete", hint="pull the model again with Ollama"
        ) from error
    models = by_kind.get("model", [])
    if not models:
        raise FormatError("it has no model of its own: it runs on another machine")
    if len(models) > 1:
        raise FormatError("its model is split over several layers", hint="name the GGUF by hf:// instead")
    projectors = by_kind.get("projector", [])
    return OllamaManifest(
        model=models[0],
        projector=projectors[0] if projectors else None,
        adapters=tuple(by_kind.get("adapter", ())),
        texts={kind: by_kind[kind][-1] for kind in _TEXTS if kind in by_kind},
    )


def _refuse_foreign(kind: str) -> None:
    """Anything that may be weights and is no GGUF; Ollama keeps safetensors as one layer per tensor."""
    if kind == f"{_LAYER}tensor":
        raise FormatError(
            "its weights are safetensors, which llama.cpp does not serve",
            hint="name a GGUF of the same model by hf:// instead",
        )
    known = ("model", "projector", "adapter", *_TEXTS, *_IGNORED)
    if not kind.startswith(_LAYER) or kind.removeprefix(_LAYER) not in known:
        raise FormatError(f"its manifest has a layer of the unknown kind {kind[:80]!r}")


def _file(layer: Mapping[str, Any]) -> OllamaFile:
    """A digest becomes a path, so that it must be nothing but one (CVE-2024-37032)."""
    digest, size = layer["digest"], layer["size"]
    found = _DIGEST.fullmatch(digest)
    if found is None or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise FormatError(f"its manifest names a layer by {digest[:80]!r}, which is no sha256 digest")
    return OllamaFile(Sha256(found[1]), Bytes(size))


def parse_parameters(content: bytes) -> Mapping[str, Any]:
    """The `params` layer: an object of Modelfile parameters. FormatError where it is something else."""
    document = _json(content, "parameters")
    if not isinstance(document, dict):
        raise FormatError("its parameters are no JSON object")
    return document


def parse_messages(content: bytes) -> tuple[tuple[str, str], ...]:
    """The `messages` layer: example turns as role and content. FormatError where it is something else."""
    document = _json(content, "messages")
    try:
        turns = tuple((turn["role"], turn["content"]) for turn in document)
    except (KeyError, TypeError) as error:
        raise FormatError("its messages are no list of roles and contents") from error
    if not all(isinstance(text, str) for turn in turns for text in turn):
        raise FormatError("its messages are no list of roles and contents")
    return turns


def _json(content: bytes, what: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its {what} are no JSON: {error}") from error
