"""The headers of a version's files: from the store, else from where they would be pulled from."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from reconciler.core.errors import SourceError
from reconciler.gguf.reader import Part
from reconciler.gguf.window import ReadAt
from reconciler.host.artifacts.hub import resolve
from reconciler.host.artifacts.limits import DEFAULT_LIMITS
from reconciler.host.artifacts.network import Network, network_from
from reconciler.host.artifacts.sources import FileSource, HubSource, OllamaSource, WebSource, parse_source
from reconciler.host.artifacts.store import Store, StoreView
from reconciler.host.artifacts.web import Client
from reconciler.host.gguf_file import open_local
from reconciler.host.ollama_store import default_stores, find_blob
from reconciler.host.range_file import RangeFile
from reconciler.kinds.artifact.layout import WantedFile, WantedVersion
from reconciler.kinds.placement.figures import Figures
from reconciler.kinds.placement.observe import read_figures
from reconciler.spec.settings import Sources

_KEPT = 256
_PATIENCE = replace(DEFAULT_LIMITS, connect_seconds=5.0, answer_seconds=10.0)
"""A plan waits less for a header than a pull for a file."""


@lru_cache(maxsize=_KEPT)
def figures_of(store: str, version: WantedVersion, sources: Sources) -> Figures:
    """Read the headers of a version's files; of one that is not resolved, as its source has them now.

    Remembered for the life of this process: an apply plans twice, a watcher again and again, and the bytes
    behind a hash never change. ModelctlError where a header cannot be had or is none.
    """
    network = network_from(
        os.environ, allow_private=sources.allow_private, offline=sources.offline, limits=_PATIENCE
    )
    with ExitStack() as opened:
        view = Store(Path(store)).look()
        parts: dict[tuple[str | int, ...], list[Part]] = {}
        for file in version.files:
            reader = opened.enter_context(_open(file, Path(store), view, network))
            parts.setdefault(file.at, []).append(Part(reader, file.name))
        return read_figures(
            parts[()],
            adapters=[parts[at][0] for at in parts if at and at[0] == "loras"],
            projector=parts[("mmproj",)][0] if ("mmproj",) in parts else None,
            draft=parts[("draft",)][0] if ("draft",) in parts else None,
        )


@contextmanager
def _open(file: WantedFile, store: Path, view: StoreView, network: Network) -> Iterator[ReadAt]:
    if file.sha256 is not None and view.has(file.sha256):
        with open_local(Store(store).blob_path(file.sha256)) as reader:
            yield reader
        return
    source = parse_source(file.url)
    match source:
        case FileSource():
            with open_local(source.path) as reader:
                yield reader
        case OllamaSource():
            blob = find_blob(default_stores(os.environ), source.name, source.layer, file.sha256)
            with open_local(blob.path) as reader:
                yield reader
        case HubSource() | WebSource():
            if network.offline:
                raise SourceError(f"{source} may not be asked: the network is off", hint="modelctl pull")
            client = network.new_client()
            try:
                yield _remote(source, file.revision, client, network)
            finally:
                client.close()


def _remote(
    source: HubSource | WebSource, revision: str | None, client: Client, network: Network
) -> RangeFile:
    if isinstance(source, WebSource):
        return RangeFile(client, source.url)
    asking = network.new_client()
    try:
        found = resolve(asking, network.hub, source, revision)
    finally:
        asking.close()
    return RangeFile(client, found.url, network.hub.token)


def hub_address(version: WantedVersion) -> str:
    """Where a version's first file can be read by anybody's tools; SourceError where it is not on the hub."""
    first = version.files[0]
    source = parse_source(first.url)
    if not isinstance(source, HubSource):
        raise SourceError(
            f"{version} is not on the hub, and gguf-tensor-overrider reads from nowhere else",
            hint="take `strategy: auto`",
        )
    endpoint = network_from(os.environ).hub.endpoint
    return f"{endpoint}/{source.repo}/resolve/{first.revision or 'main'}/{source.path}"
