"""What was found, fitted into a spec: under which profile, on which ports, and what the spec has already."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.errors import UsageError
from reconciler.core.suggest import did_you_mean
from reconciler.core.types import is_id
from reconciler.imports.found import Found, FoundModel, FoundPersona, Remark
from reconciler.kinds.placement.memory_flags import placing_flags
from reconciler.spec.addresses import parse_listen
from reconciler.spec.model import Model, Spec

_GIB = 1024**3
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version for a model that the spec has already."""

    model: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Entries as YAML data."""

    models: tuple[Mapping[str, Any], ...] = ()
    personas: tuple[Mapping[str, Any], ...] = ()
    versions: tuple[NewVersion, ...] = ()
    remarks: tuple[Remark, ...] = ()
    left_out: tuple[Remark, ...] = ()

    def document(self) -> dict[str, Any]:
        """What a file of the spec would say; empty where there is nothing to add."""
        entries = {"models": list(self.models), "personas": list(self.personas)}
        return {key: value for key, value in entries.items() if value}


def choose_profile(spec: Spec, wanted: str | None) -> str:
    """`wanted`, else the spec's first. A port has one listener, so a model is served under one profile."""
    if wanted is None:
        return next(iter(spec.profiles))
    if wanted not in spec.profiles:
        hint = did_you_mean(wanted, spec.profiles) or f"profiles of the spec: {', '.join(spec.profiles)}"
        raise UsageError(f"the spec has no profile `{wanted}`", hint=hint)
    return wanted


def fit(found: Found, spec: Spec, profile: str) -> Fitted:
    """Leave out what the spec has, and free ports that it uses. The result and `spec` together are valid."""
    return _Fit(found, spec, profile).result()


@dataclass
class _Fit:
    found: Found
    spec: Spec
    profile: str
    remarks: list[Remark] = field(default_factory=list)
    left_out: list[Remark] = field(default_factory=list)
    versions: list[NewVersion] = field(default_factory=list)
    taken_over: set[str] = field(default_factory=set)
    """Names of models that get into the spec."""

    def result(self) -> Fitted:
        ports = dict(_ports(self.spec))
        names = {model.id.lower() for model in self.spec.models}
        names |= {persona.id.lower() for persona in self.spec.personas}
        known = {model.id.lower(): model for model in self.spec.models}
        bases: dict[str, str] = {}
        models: list[Mapping[str, Any]] = []
        for model in self.found.models:
            if model.id.lower() in names:
                same = known.get(model.id.lower())
                if same is not None and self._is_known(model, same):
                    bases[model.id] = same.id
                continue
            names.add(model.id.lower())
            bases[model.id] = model.id
            models.append(self._model(model, ports))
            self.taken_over.add(model.name)
        personas = [
            entry for persona in self.found.personas if (entry := self._persona(persona, bases, names))
        ]
        told = {model.name for model in self.found.models} - self.taken_over
        return Fitted(
            tuple(models),
            tuple(personas),
            tuple(self.versions),
            # Of what is left out there is nothing more to know than why.
            tuple(one for one in (*self.found.remarks, *self.remarks) if one.subject not in told),
            (*self.found.left_out, *self.left_out),
        )

    def _is_known(self, model: FoundModel, same: Model) -> bool:
        """Whether the spec's model of that id is this one; other bytes of its source are a new version."""
        versions = [version for version in same.versions if version.gguf_url == model.gguf_url]
        if not versions:
            self.left_out.append(
                Remark(model.name, f"the spec has another model `{same.id}`; rename that one to import this")
            )
            return False
        if model.sha256 is None or any(
            model.sha256 in (version.hashes or {model.sha256}) for version in versions
        ):
            self.left_out.append(Remark(model.name, f"the spec has it as `{same.id}`"))
            return True
        taken = {version.version_id.lower() for version in same.versions}
        version_id = next(v for v in _version_ids(model.version_id) if v.lower() not in taken)
        self.versions.append(NewVersion(same.id, _version(model, version_id)))
        self.taken_over.add(model.name)
        return True

    def _model(self, model: FoundModel, ports: dict[int, str]) -> Mapping[str, Any]:
        settings: dict[str, Any] = {}
        if model.port is not None and model.port in ports:
            self.remarks.append(
                Remark(model.name, f"its port {model.port} is taken by {ports[model.port]} and is left out")
            )
        elif model.port is not None:
            ports[model.port] = f"model `{model.id}`"
            settings["port"] = model.port
        model = self._placed(model)
        entry = {
            "id": model.id,
            "display_name": model.display_name,
            "context_tokens": model.context_tokens,
            "current_version": model.version_id,
            "versions": [_version(model, model.version_id)],
            "residency": None if model.residency == "always" else model.residency,
            "parallel": None if model.parallel == 1 else model.parallel,
            "memory_limit": None if model.memory_limit is None else _size(model.memory_limit),
            "embedding": model.embedding or None,
            "strategy": model.strategy,
            "flags": dict(model.flags) or None,
            "profiles": {self.profile: settings},
        }
        return {key: value for key, value in entry.items() if value is not None}

    def _placed(self, model: FoundModel) -> FoundModel:
        """What lies on which GPU stays as it was; where there is none, it could only hinder the start."""
        placing = placing_flags(model.flags)
        if not placing:
            return model
        told = ", ".join(f"--{name}" for name in placing)
        if self.spec.profiles[self.profile].devices:
            text = (
                f"what lies where is kept by `strategy: manual` ({told}); the memory ledger does not count it"
            )
            self.remarks.append(Remark(model.name, text))
            if "tensor-split" in model.flags:
                text = "the shares of --tensor-split go by the order of the profile's GPUs"
                self.remarks.append(Remark(model.name, text))
            return model
        why = f"profile `{self.profile}` has no GPU; name another one with --profile"
        self.remarks.append(Remark(model.name, f"{told} left out: {why}"))
        flags = {name: value for name, value in model.flags.items() if name not in placing}
        return replace(model, flags=flags, strategy=None)

    def _persona(
        self, persona: FoundPersona, bases: Mapping[str, str], names: set[str]
    ) -> Mapping[str, Any] | None:
        base = bases.get(persona.base)
        if base is None:
            return None
        if persona.id.lower() in names or not is_id(persona.id):
            self.left_out.append(Remark(persona.id, "the spec has this name already"))
            return None
        names.add(persona.id.lower())
        entry = {
            "id": persona.id,
            "base_model": base,
            "system_prompt": persona.system_prompt,
            "messages": [{"role": role, "content": content} for role, content in persona.messages] or None,
            "sampling": dict(persona.sampling) or None,
        }
        return {key: value for key, value in entry.items() if value is not None}


def _version(model: FoundModel, version_id: str) -> dict[str, Any]:
    fields = {
        "version_id": version_id,
        "gguf_url": model.gguf_url,
        "sha256": model.sha256,
        "mmproj": None if model.mmproj is None else dict(model.mmproj),
        "loras": [dict(lora) for lora in model.loras] or None,
        "draft": None if model.draft is None else dict(model.draft),
        "created_at": model.created_at,
        "notes": model.notes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _version_ids(first: str) -> Iterator[str]:
    """`2025-11-17-01`, `-02`, …"""
    day = first.rpartition("-")[0]
    number = 1
    while True:
        yield f"{day}-{number:02}"
        number += 1


def _ports(spec: Spec) -> Iterator[tuple[int, str]]:
    for model in spec.models:
        for settings in model.profiles.values():
            if settings is not None and settings.port is not None:
                yield settings.port, f"model `{model.id}`"
    gateway = spec.settings.gateway
    for listen in filter(None, (gateway.listen, gateway.ollama_listen)):
        yield parse_listen(listen).port, "the gateway"


def _size(size: int) -> str | int:
    for unit, name in ((_GIB, "GiB"), (_MIB, "MiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return size
