"""A version that the spec does not have yet: found in a repository on the hub by its quantisation."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.core.errors import Refused, SourceError, UsageError
from reconciler.core.types import is_id
from reconciler.host.artifacts.hub import resolve
from reconciler.host.artifacts.hub_files import Listing, list_files
from reconciler.host.artifacts.network import Network
from reconciler.host.artifacts.retries import patiently
from reconciler.host.artifacts.sources import HubSource, parse_source
from reconciler.kinds.artifact.layout import WantedVersion, wanted_version
from reconciler.kinds.artifact.quants import matching, models, next_version_id
from reconciler.spec.edit import AppendVersion
from reconciler.spec.find import find_model
from reconciler.spec.model import Model, Spec, Version

_SHOWN = 40
"""Choices that are listed; more say nothing to a reader."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What to fetch, and the edit that puts it into the spec once it is there."""

    wanted: WantedVersion
    edit: AppendVersion


def find_version(
    spec: Spec,
    network: Network,
    name: str,
    *,
    quant: str,
    into: str | None,
    version: str | None,
    now: datetime,
) -> NewVersion:
    """Search the repository `name` (`org/repo`, or that of a model's current version) for one file.

    It is called `version`, else by its day. It gets the companions (projector, adapters, draft) of the
    model's current one. UsageError where
    it is not clear which model or which file is meant, with the choices; Refused where the model has these
    very bytes already; SourceError where the hub does not tell.
    """
    model, repo = _target(spec, name, into)
    taken = {listed.version_id for listed in model.versions}
    if version is not None and not is_id(version):
        raise UsageError(f"{version!r} cannot name a version", hint="use letters, digits, `.`, `_` and `-`")
    if version in taken:
        raise UsageError(
            f"model `{model.id}` has a version `{version}` already",
            hint="a version never changes: choose another id, or leave out --version",
        )
    listing = list_files(network, repo)
    source = HubSource(repo, _choose(listing, repo, quant))
    _require_new(model, source, listing, network)
    day = now.astimezone(UTC)
    fields: dict[str, Any] = {
        "version_id": version or next_version_id(f"{day:%Y-%m-%d}", taken),
        "gguf_url": str(source),
        "revision": listing.revision,
        "created_at": f"{day:%Y-%m-%dT%H:%M:%SZ}",
        **model.current.model_dump(mode="json", exclude_defaults=True, include={"mmproj", "loras", "draft"}),
    }
    wanted = wanted_version(model, Version.model_validate(fields))
    return NewVersion(wanted, AppendVersion(model.model_id, fields))


def _target(spec: Spec, name: str, into: str | None) -> tuple[Model, str]:
    """The model that gets the version, and the repository to search."""
    if "/" not in name:
        model = find_model(spec, name)
        repo = _repo(model.current)
        if repo is None:
            raise UsageError(
                f"`{name}` is at {model.current.gguf_url}, which is no repository to search",
                hint=f"name one: modelctl pull ORG/REPO --quant … --into {name}",
            )
        return (model if into is None else find_model(spec, into)), repo
    repo = name.removeprefix("hf://").rstrip("/")
    try:
        parse_source(f"hf://{repo}/file.gguf")
    except SourceError:
        raise UsageError(f"{name!r} is no repository", hint="write it as ORG/REPO") from None
    if into is not None:
        return find_model(spec, into), repo
    having = [model for model in spec.models if repo in {_repo(version) for version in model.versions}]
    if len(having) != 1:
        which = ", ".join(model.id for model in having)
        raise UsageError(
            f"{len(having)} models of the spec come from {repo}" + (f": {which}" if which else ""),
            hint="say which one gets the version: --into MODEL",
        )
    return having[0], repo


def _repo(version: Version) -> str | None:
    if not version.gguf_url.startswith("hf://"):
        return None
    source = parse_source(version.gguf_url)
    return source.repo if isinstance(source, HubSource) else None


def _choose(listing: Listing, repo: str, quant: str) -> str:
    found = matching(listing.files, quant)
    if len(found) == 1:
        return found[0]
    choices = found or models(listing.files)
    if not choices:
        raise SourceError(f"hf://{repo} has no GGUF files", hint="look for its GGUF repository on the hub")
    many = f"{len(found)} files" if found else "no file"
    more = f" and {len(choices) - _SHOWN} more" if len(choices) > _SHOWN else ""
    listed = ", ".join(choices[:_SHOWN])
    raise UsageError(
        f"hf://{repo} has {many} of quantisation {quant!r}",
        hint=f"name one, whole or by what tells it from the others: {listed}{more}",
    )


def _require_new(model: Model, source: HubSource, listing: Listing, network: Network) -> None:
    client = network.new_client()
    try:
        file = patiently(lambda: resolve(client, network.hub, source, listing.revision), network.limits)
    finally:
        client.close()
    for version in model.versions:
        if file.sha256 is not None and version.hashes[:1] == (file.sha256,):
            raise Refused(
                f"`{model.id}` has {source} already, as version {version.version_id}",
                hint=f"modelctl pull {model.id}@{version.version_id}",
            )
