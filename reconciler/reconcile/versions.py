"""Choosing the version that a model serves: what is refused, and how the spec is edited for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.errors import Refused
from reconciler.core.plan import Revision
from reconciler.core.types import ModelId, VersionId
from reconciler.host.state import State
from reconciler.kinds.artifact.layout import wanted_version
from reconciler.reconcile.history import generations, served_before
from reconciler.reconcile.session import Source, from_texts
from reconciler.spec.edit import Edit, SetCurrentVersion, SetPin, edit
from reconciler.spec.find import find_model, find_version
from reconciler.spec.model import Model, Spec, Version


@dataclass(frozen=True, slots=True)
class Change:
    """A model is to serve another version."""

    verb: str
    """As a commit's message begins: `Promote` or `Roll back`."""
    model: ModelId
    before: VersionId
    after: VersionId

    @property
    def edits(self) -> tuple[Edit, ...]:
        return () if self.before == self.after else (SetCurrentVersion(self.model, self.after),)

    @property
    def message(self) -> str:
        return f"{self.verb} {self.model} to {self.after}"


def promotion(spec: Spec, name: str, version: str) -> Change:
    """UsageError where the spec has no such model or version; Refused for a pin or an unresolved version."""
    return _change("Promote", find_model(spec, name), spec, VersionId(version))


def rollback(spec: Spec, name: str, version: str | None, state: State) -> Change:
    """As `promotion`; without `version` to the one that answered before, Refused when there is none."""
    model = find_model(spec, name)
    if version is None:
        version = _version_before(model, state)
    return _change("Roll back", model, spec, VersionId(version))


def pin_edits(spec: Spec, name: str, version: str | None) -> tuple[VersionId, tuple[Edit, ...]]:
    """The version that is pinned and the edits for it: none where that is so already.

    Refused for another version than the one that the spec serves.
    """
    model = find_model(spec, name)
    find_version(model, version or model.current_version)
    if version not in {None, model.current_version}:
        raise Refused(
            f"`{name}` serves {model.current_version}; only the version that is served can be pinned",
            hint=f"modelctl promote {name} --to {version}, then modelctl pin {name}",
        )
    pinned = VersionId(model.current_version)
    return pinned, () if spec.pinned(model.model_id) == pinned else (SetPin(model.model_id, pinned),)


def edited(source: Source, edits: Sequence[Edit]) -> tuple[Source, Mapping[str, str]]:
    """The spec as it would be, and the new texts of the files that change. Writes nothing."""
    changed = edit(source.texts, edits)
    if not changed:
        return source, {}
    texts = {**source.texts, **changed}
    return from_texts(source.folder, texts, Revision(source.revision.commit, dirty=True)), changed


def _change(verb: str, model: Model, spec: Spec, version: VersionId) -> Change:
    listed = find_version(model, version)
    pinned = spec.pinned(model.model_id)
    if pinned is not None and version != pinned:
        raise Refused(f"`{model.id}` is pinned to {pinned}", hint=f"modelctl unpin {model.id}")
    _require_resolved(model, listed)
    return Change(verb, model.model_id, VersionId(model.current_version), version)


def _require_resolved(model: Model, listed: Version) -> None:
    name = f"{model.id}@{listed.version_id}"
    for file in wanted_version(model, listed).files:
        if not file.resolved:
            lacking = "sha256" if file.sha256 is None else "revision"
            raise Refused(
                f"{name} was never pulled: the spec lacks the {lacking} of {file.name}",
                hint=f"modelctl pull {name}",
            )


def _version_before(model: Model, state: State) -> VersionId:
    choice = f"name a version: modelctl rollback {model.id} --to VERSION"
    found = served_before(generations(state), model.model_id, VersionId(model.current_version))
    if found is None:
        raise Refused(f"`{model.id}` served no other version before {model.current_version}", hint=choice)
    if found.version not in {listed.version_id for listed in model.versions}:
        raise Refused(
            f"before, `{model.id}` served {found.version} (generation {found.generation}),"
            " which the spec no longer lists",
            hint=choice,
        )
    return found.version
