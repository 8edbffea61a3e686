"""Versions named on the command line: `MODEL` is its current one, `MODEL@VERSION` a certain one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.kinds.artifact.layout import WantedVersion
    from reconciler.spec.model import Spec


def select(spec: "Spec", names: Sequence[str]) -> "list[WantedVersion]":
    """What `names` mean, each version once; without names the current version of every model.

    UsageError names what the spec does not have.
    """
    from reconciler.kinds.artifact.layout import wanted_version  # noqa: PLC0415
    from reconciler.spec.find import find_model, find_version  # noqa: PLC0415

    if not names:
        return [wanted_version(model, model.current) for model in spec.models]
    found = []
    for name in dict.fromkeys(names):
        model_id, at, version_id = name.partition("@")
        model = find_model(spec, model_id)
        version = find_version(model, version_id) if at else model.current
        found.append(wanted_version(model, version))
    return list({str(version): version for version in found}.values())
