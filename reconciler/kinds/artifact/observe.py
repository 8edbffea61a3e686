"""A quick look at the store: which of the wanted files are in place."""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.core.types import Bytes, ModelId
from reconciler.host.artifacts.store import Store
from reconciler.kinds.artifact.layout import WantedVersion
from reconciler.kinds.artifact.plan import SeenStore


def observe(store: Store, wanted: Sequence[WantedVersion]) -> SeenStore:
    """Compare files with what they were when they were hashed; nothing is hashed and nothing is made."""
    view = store.look()
    linked = {}
    blobs = set()
    for version in wanted:
        for file in version.files:
            found = view.linked(version.model, version.version, file.name)
            if found is not None:
                linked[version.model, version.version, file.name] = found
            if file.sha256 is not None and found != file.sha256 and view.has(file.sha256):
                blobs.add(file.sha256)
    return SeenStore(frozenset(blobs), linked)


def stored_bytes(store: Store, wanted: Iterable[WantedVersion]) -> Mapping[ModelId, Bytes]:
    """The size of each version that is in place whole; what is missing or was touched has no entry."""
    view = store.look()
    sizes: dict[ModelId, Bytes] = {}
    for version in wanted:
        found = [view.size(version.model, version.version, file.name) for file in version.files]
        if all(size is not None for size in found):
            sizes[version.model] = Bytes(sum(size or 0 for size in found))
    return sizes
