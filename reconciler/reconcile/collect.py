"""Looks at the store and at who refers to it, and removes what a plan says may go."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from reconciler.core.errors import ModelctlError
from reconciler.core.inventory import OwnedUnit
from reconciler.host import git
from reconciler.host.artifacts.disk import disk_errors
from reconciler.host.artifacts.store import Store
from reconciler.host.artifacts.sweep import remove_blob, remove_folder, remove_partial, survey
from reconciler.host.open_files import files_in_use
from reconciler.host.state import State
from reconciler.reconcile.gc_plan import Collection, Going, collect, references
from reconciler.reconcile.history import generations
from reconciler.reconcile.session import Source
from reconciler.reconcile.site import Site
from reconciler.spec.load import load
from reconciler.spec.model import Spec

_REMOVE = {
    Going.VERSION: remove_folder,
    Going.LEFTOVER: remove_folder,
    Going.BLOB: remove_blob,
    Going.PARTIAL: remove_partial,
}


def plan_collection(source: Source, site: Site, state: State, keep: int) -> Collection:
    """What may go when `keep` versions of each model and as many generations stay. Changes nothing."""
    wanted = references(tuple(_specs(source)), tuple(_units(state, keep)), keep)
    root = Path(site.places.store)
    return collect(survey(Store(root)), wanted, files_in_use(root))


def carry_out_collection(collection: Collection, site: Site) -> None:
    """Remove what the plan lists: versions before the blobs that they share. The caller holds the lock.

    StoreError where the disk says no; what was removed by then stays removed, and nothing is half there.
    """
    store = Store(Path(site.places.store))
    with disk_errors(store.root):
        for item in collection.items:
            _REMOVE[item.kind](store, item.path)


def _specs(source: Source) -> Iterator[Spec]:
    """The work tree's spec, and the committed one where they differ: an edit that is not committed yet
    must not cost what the last commit serves.
    """
    yield source.spec
    if source.revision.commit is not None and source.revision.dirty:
        with suppress(ModelctlError):  # one that cannot be read serves nothing
            yield load(git.texts_at(source.folder, "HEAD")[1])


def _units(state: State, keep: int) -> Iterator[tuple[OwnedUnit, str]]:
    for unit in state.units().values():
        yield unit, f"{unit.name} has it"
    for generation in islice(generations(state), keep):
        for unit in generation.units:
            yield unit, f"generation {generation.number} has it"
