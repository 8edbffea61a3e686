"""The doing half of the one flow: every step of an agreed plan goes to the kind that can do it.

Apart from `session`, so that a command that only looks does not import what downloads and starts things.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from reconciler.core.errors import GivenUpError
from reconciler.core.operations import Operation, Verb
from reconciler.core.plan import Plan
from reconciler.host.artifacts.fetch import Fetcher
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.store import Store
from reconciler.host.state import State
from reconciler.kinds.artifact.apply import ArtifactApplier
from reconciler.kinds.placement.apply import handlers as place_handlers
from reconciler.kinds.route.apply import RouteApplier
from reconciler.kinds.unit.apply import UnitApplier
from reconciler.reconcile.announce import Announcer
from reconciler.reconcile.executor import Handler, Listener, Report, Result, execute
from reconciler.reconcile.journal import Journal
from reconciler.reconcile.learning import Learner
from reconciler.reconcile.plan import Commit
from reconciler.reconcile.site import Site
from reconciler.reconcile.usage import requests_at


def apply(
    agreed: Plan,
    site: Site,
    state: State,
    listeners: Sequence[Listener] = (),
    *,
    unwanted: threading.Event | None = None,
) -> dict[str, Result]:
    """Do what the plan lists, in its order. The caller holds the lock.

    Once `unwanted` is set, downloads are given up, which may take hours otherwise; all else is finished.
    """
    site.make_folders()
    handlers: dict[tuple[str, Verb], Handler] = {
        **UnitApplier(
            site.supervisor, state, lambda endpoint: requests_at(site, endpoint), Path(site.places.logs)
        ).handlers(),
        **RouteApplier(site.supervisor, site.places).handlers(),
        **ArtifactApplier(fetcher(site, unwanted)).handlers(),
        **place_handlers(site.overrides_cache),
        ("generation", Verb.COMMIT): _committer(state),
    }
    announcer = Announcer(state, agreed)
    results = execute(
        agreed.operations, handlers, [Journal(state), announcer, Learner(site, state), *listeners]
    )
    announcer.close(results)
    return results


def fetcher(site: Site, unwanted: threading.Event | None = None) -> Fetcher:
    """What brings artifacts into the site's store, over the network that its settings allow.

    It ends with GivenUpError once `unwanted` is set.
    """

    def progress(_done: int, _total: int) -> None:
        if unwanted is not None and unwanted.is_set():
            raise GivenUpError("given up for now, since something else is wanted first")

    sources = site.settings.sources
    network = network_from(os.environ, allow_private=sources.allow_private, offline=sources.offline)
    return Fetcher(Store(Path(site.places.store)), network, progress)


def _committer(state: State) -> Handler:
    def commit(batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            what: Commit = operation.payload
            units = state.units()
            gone = [old for old, new in what.replaced if new in units and units[new].answered]
            state.commit_generation(
                what.revision, dirty=what.dirty, profile=what.profile, without=(*what.without, *gone)
            )
            report(operation, None)

    return commit
