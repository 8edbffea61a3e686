"""Models of an Ollama store as models and personas of a spec.

A Modelfile puts a prompt and sampling on top of a GGUF, so that many of Ollama's models are one file. Each
file becomes one model; every tag that adds something becomes a persona of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.core.ollama import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, OllamaModel
from reconciler.imports.found import FlagValue, Found, FoundModel, FoundPersona, Remark, to_id

_ROLES = {"system", "user", "assistant"}
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "num_predict": "max_tokens",
}
"""Modelfile parameters and the spec's `sampling`."""
_WHOLE = {"top_k", "seed", "num_predict"}
_FLAGS = {"num_thread": "threads", "num_batch": "batch-size", "num_gpu": "gpu-layers", "main_gpu": "main-gpu"}
_PLACING = {"num_gpu", "main_gpu"}
"""Parameters that say what lies where, as placement does otherwise."""
_BASE = "-base"


@dataclass(frozen=True, slots=True)
class _Tag:
    """One of Ollama's models, read."""

    source: OllamaModel
    id: str
    sampling: Mapping[str, Any]
    remarks: tuple[str, ...]

    @property
    def adds(self) -> bool:
        """Whether it is more than its file."""
        return bool(self.source.system or self.source.messages or self.sampling)


def read_ollama(models: Sequence[OllamaModel]) -> Found:
    """Models by their files, in the order of their names."""
    groups: dict[object, list[_Tag]] = {}
    for model in models:
        manifest = model.manifest
        groups.setdefault((manifest.model, manifest.projector, manifest.adapters), []).append(_tag(model))
    found: list[FoundModel] = []
    personas: list[FoundPersona] = []
    remarks: list[Remark] = []
    taken: set[str] = set()
    for tags in groups.values():
        base = min(tags, key=lambda tag: (tag.adds, len(tag.id), tag.id))
        identity = _free(base.id + (_BASE if base.adds else ""), taken)
        found.append(_model(identity, base, tags))
        for tag in tags:
            remarks += [
                Remark(str(tag.source.name), text) for text in (*tag.remarks, *_differences(tag, base))
            ]
            if tag is base and not tag.adds:
                continue
            personas.append(
                FoundPersona(
                    id=_free(tag.id, taken),
                    base=identity,
                    system_prompt=tag.source.system or None,
                    messages=tuple(turn for turn in tag.source.messages if turn[0] in _ROLES),
                    sampling=tag.sampling,
                )
            )
    return Found(tuple(found), tuple(personas), tuple(remarks))


def _model(identity: str, base: _Tag, tags: Sequence[_Tag]) -> FoundModel:
    source = base.source
    at = datetime.fromtimestamp(source.modified, UTC)
    address = f"ollama://{source.name}"
    files = source.manifest.files()
    contexts = [count for tag in tags if (count := _count(tag.source.parameters.get("num_ctx")))]
    flags: dict[str, FlagValue] = {_FLAGS[name]: value for name, value in _settings(source).items()}
    companions = {name: {"url": f"{address}#{name}", "sha256": file.sha256} for name, file in files.items()}
    return FoundModel(
        name=str(source.name),
        id=identity,
        gguf_url=address,
        version_id=f"{at:%Y-%m-%d}-01",
        sha256=source.manifest.model.sha256,
        created_at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
        notes=f"From Ollama's {source.name}."
        + (" Its Go template is not used: the GGUF's own serves." if source.template else ""),
        mmproj=companions.get("projector"),
        loras=tuple(companion for name, companion in companions.items() if name.startswith("adapter")),
        context_tokens=max(contexts, default=None),
        flags=flags,
        strategy="manual" if _PLACING & _settings(source).keys() else None,
    )


def _tag(model: OllamaModel) -> _Tag:
    remarks: list[str] = []
    sampling: dict[str, Any] = {}
    for name, value in model.parameters.items():
        if name in _SAMPLING:
            number = _number(name, value)
            if number is None:
                remarks.append(f"its parameter {name} {value!r} is not taken over")
            elif not (name == "num_predict" and number < 1):
                sampling[_SAMPLING[name]] = number
        elif name == "stop":
            stops = tuple(_stops(value, model.template or ""))
            if stops:
                sampling["stop"] = list(stops)
        elif name not in {"num_ctx", *_FLAGS}:
            remarks.append(f"its parameter {name} has no counterpart and is left out")
    if strange := sorted({role for role, _ in model.messages} - _ROLES):
        remarks.append(f"its messages of the role {', '.join(strange)} are left out")
    return _Tag(model, _name_id(model), sampling, tuple(remarks))


def _settings(model: OllamaModel) -> dict[str, int]:
    """Parameters of the whole runtime that say something; 0 layers on GPUs is something, -1 is not."""
    return {
        name: int(number)
        for name in _FLAGS
        if (number := _number("num_predict", model.parameters.get(name))) is not None
        and number >= (0 if name in _PLACING else 1)
    }


def _differences(tag: _Tag, base: _Tag) -> Iterator[str]:
    """What cannot hold for one tag alone, as all tags of a file are one runtime."""
    here, kept = _settings(tag.source), _settings(base.source)
    for name, value in here.items():
        if kept.get(name) != value:
            yield f"its {name} {value} is left out: it shares the runtime of {base.source.name}"


def _name_id(model: OllamaModel) -> str:
    name = model.name
    tag = "" if name.tag == DEFAULT_TAG else f":{name.tag}"
    own = name.host == DEFAULT_HOST and name.namespace == DEFAULT_NAMESPACE
    return to_id(f"{name.model}{tag}" if own else f"{name.namespace}/{name.model}{tag}")


def _stops(value: Any, template: str) -> Iterator[str]:
    """A stop that the Go template holds is a marker of it, and the GGUF's own template has its own."""
    for stop in value if isinstance(value, list) else [value]:
        if isinstance(stop, str) and stop and stop not in template:
            yield stop


def _number(name: str, value: Any) -> int | float | None:
    """Modelfiles of older releases kept numbers as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if isinstance(value, bool) or number - number != 0:
        return None
    return int(number) if name in _WHOLE else number


def _count(value: Any) -> int | None:
    number = _number("num_predict", value)
    return int(number) if number is not None and number >= 1 else None


def _free(wanted: str, taken: set[str]) -> str:
    identity, number = wanted, 1
    while identity.lower() in taken:
        number += 1
        identity = f"{wanted[:76]}-{number}"
    taken.add(identity.lower())
    return identity
