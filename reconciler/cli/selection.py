"""Versions named on the command line: `MODEL` is its current one, `MODEL@VERSION` a certain one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.core.errors import UsageError
from reconciler.core.suggest import did_you_mean
from reconciler.core.types import ModelId

if TYPE_CHECKING:
    from reconciler.kinds.artifact.layout import WantedVersion
    from reconciler.spec.model import Spec


def select(spec: "Spec", names: Sequence[str]) -> "list[WantedVersion]":
    """What `names` mean, each version once; without names the current version of every model.

    UsageError names what the spec does not have.
    """
    from reconciler.kinds.artifact.layout import wanted_version  # noqa: PLC0415

    if not names:
        return [wanted_version(model, model.current) for model in spec.models]
    found = []
    for name in dict.fromkeys(names):
        model_id, at, version_id = name.partition("@")
        model = spec.by_id.get(ModelId(model_id))
        if model is None:
            hint = did_you_mean(model_id, spec.by_id) or "`modelctl list` shows them"
            raise UsageError(f"the spec has no model `{model_id}`", hint=hint)
        versions = {version.version_id: version for version in model.versions}
        if at and version_id not in versions:
            hint = did_you_mean(version_id, versions) or f"versions there: {', '.join(versions)}"
            raise UsageError(f"model `{model_id}` has no version `{version_id}`", hint=hint)
        found.append(wanted_version(model, versions[version_id] if at else model.current))
    return list({str(version): version for version in found}.values())
