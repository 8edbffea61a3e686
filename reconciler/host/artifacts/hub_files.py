"""Which files a repository on the hub has."""

import json
from dataclasses import dataclass
from typing import Any

from reconciler.core.errors import SourceError
from reconciler.host.artifacts.hub import explain
from reconciler.host.artifacts.network import Network
from reconciler.host.artifacts.retries import patiently
from reconciler.host.artifacts.sources import HubSource
from reconciler.host.artifacts.web import Client

_LONGEST = 32 * 1024**2
"""The largest repositories list some ten thousand files, in a few MiB."""
_READ = 256 * 1024


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at one commit."""

    revision: str
    files: tuple[str, ...]


def list_files(network: Network, repo: str) -> Listing:
    """Ask for the files at the tip of `main`; SourceError where the hub does not tell."""
    if network.offline:
        raise SourceError(
            f"hf://{repo} cannot be searched: the network may not be used",
            hint="unset HF_HUB_OFFLINE or settings.sources.offline",
        )
    client = network.new_client()
    try:
        return patiently(lambda: _ask(client, network, repo), network.limits)
    finally:
        client.close()


def _ask(client: Client, network: Network, repo: str) -> Listing:
    hub = network.hub
    answer = client.get(f"{hub.endpoint}/api/models/{repo}", {}, token=hub.token)
    if answer.status >= 400:  # noqa: PLR2004 - where errors begin
        answer.finish()
        raise explain(answer, hub, HubSource(repo, ""), None)
    body = bytearray()
    while len(body) <= _LONGEST and (piece := answer.read(_READ)):
        body += piece
    answer.finish()
    try:
        document: dict[str, Any] = json.loads(body)
        files = tuple(str(entry["rfilename"]) for entry in document["siblings"])
        return Listing(str(document["sha"]), files)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{hub.host} does not say which files hf://{repo} has",
            hint="check HF_ENDPOINT; the answer is not one of a Hugging Face hub",
        ) from error
