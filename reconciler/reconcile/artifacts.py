"""The artifact kind, joined to the flow: which versions the spec wants in the store."""

from collections.abc import Mapping
from pathlib import Path

from reconciler.core.types import Bytes, ModelId
from reconciler.host.artifacts.store import Store
from reconciler.kinds.artifact import observe
from reconciler.kinds.artifact.layout import WantedVersion, wanted_version
from reconciler.kinds.artifact.plan import ArtifactPlan, plan_artifacts
from reconciler.reconcile.plan import Desired, Request
from reconciler.reconcile.site import Site
from reconciler.spec.model import Model, Spec, Version


def plan_site_artifacts(site: Site, desired: Desired, request: Request) -> ArtifactPlan:
    """What is missing of the current versions that the active profile serves, on demand or always.

    What cannot run is not downloaded: a model that is too large for this machine may have 140 GB.
    """
    refused = {unit.model for unit in desired.units if unit.blocked is not None}
    wanted = [
        wanted_version(model, model.current)
        for model, _ in desired.spec.served(desired.profile)
        if request.covers(model.model_id) and model.model_id not in refused
    ]
    return plan_artifacts(wanted, observe.observe(_store(site), wanted))


def stored_bytes(spec: Spec, site: Site) -> Mapping[ModelId, Bytes]:
    """Size of each model's current version; none while it is not in the store whole."""
    return observe.stored_bytes(_store(site), _current(spec))


def version_bytes(site: Site, model: Model, version: Version) -> Bytes | None:
    """Size of one version; None while it is not in the store whole."""
    return observe.stored_bytes(_store(site), [wanted_version(model, version)]).get(model.model_id)


def _current(spec: Spec) -> list[WantedVersion]:
    return [wanted_version(model, model.current) for model in spec.models]


def _store(site: Site) -> Store:
    return Store(Path(site.places.store))
