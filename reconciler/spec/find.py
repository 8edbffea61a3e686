"""Models and versions by the names that a person types."""

from reconciler.core.errors import UsageError
from reconciler.core.suggest import did_you_mean
from reconciler.core.types import ModelId
from reconciler.spec.model import Model, Spec, Version


def find_model(spec: Spec, name: str) -> Model:
    """UsageError, with the nearest name, where the spec has no such model."""
    model = spec.by_id.get(ModelId(name))
    if model is None:
        hint = did_you_mean(name, spec.by_id) or "`modelctl list` shows them"
        raise UsageError(f"the spec has no model `{name}`", hint=hint)
    return model


def find_version(model: Model, name: str) -> Version:
    """UsageError, with the nearest name, where the model has no such version."""
    versions = {version.version_id: version for version in model.versions}
    if name not in versions:
        hint = did_you_mean(name, versions) or f"versions there: {', '.join(versions)}"
        raise UsageError(f"model `{model.id}` has no version `{name}`", hint=hint)
    return versions[name]
