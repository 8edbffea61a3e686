"""The spec that the machine is held to: the newest that could be followed and that loads."""

import time
from pathlib import Path

from reconciler.core.errors import ModelctlError, SpecErrors
from reconciler.core.events import EventType
from reconciler.host.records import Records
from reconciler.reconcile.announce import APPLIED
from reconciler.reconcile.session import Source, open_folder, open_source
from reconciler.reconcile.site import Site
from reconciler.watch.decide import Blocked, Settled
from reconciler.watch.follow import Follower, Sighting

_FOLLOWED = "followed"
"""Key of the note that says what was taken last: what failed is forgotten when it is something else."""


class CurrentSource:
    """Takes what is new once it has settled. What cannot be followed or read leaves the last one in force."""

    def __init__(self, follower: Follower, records: Records, site: Site, quiet: float) -> None:
        self.follower = follower
        self.site = site
        self.source: Source | None = None
        self.identity: str | None = None
        self.sighting = Sighting(None, None)
        self.fault: Blocked | None = None
        """Why the newest is not what is in force."""
        self._records = records
        self._quiet = quiet
        self._settled = Settled()
        self._refused: str | None = None

    def look(self, *, at_once: bool = False) -> None:
        """See what there is, and take it if it is new and has settled; `at_once` waits for nothing."""
        now = time.monotonic()
        self.sighting = self.follower.look()
        self._settled = self._settled.see(self.sighting.identity, now)
        if self._is_new() and (at_once or self.source is None or self._settled.rest(now, self._quiet) <= 0):
            self._take(str(self._settled.value))
        if self.source is None:
            self._fall_back()

    def settles_in(self) -> float | None:
        """Seconds until what was saved last may be read; None when nothing is waited for."""
        return self._settled.rest(time.monotonic(), self._quiet) if self._is_new() else None

    def _is_new(self) -> bool:
        return self._settled.value not in {None, self.identity, self._refused}

    def _take(self, sighted: str) -> None:
        try:
            source = self.follower.source(sighted)
            site = open_source(source)
        except ModelctlError as error:
            self._refuse(sighted, Blocked("SpecInvalid", words_of(error)))
            self._records.write(EventType.SPEC_INVALID, "spec", words_of(error), sighted)
            return
        if site.places != self.site.places:
            self._refuse(sighted, Blocked("StoreMoved", "settings.store is another: start the watcher anew"))
            return
        if site.supervisor_kind is not self.site.supervisor_kind and self.source is not None:
            self._refuse(sighted, _moved(self.site, site))
            return
        self._refused, self.fault = None, None
        self.source, self.site, self.identity = source, site, sighted
        if self._records.note(_FOLLOWED).get("identity") != sighted:
            self._records.put_note(_FOLLOWED, {"identity": sighted})
            self._records.forget_attempts()
            self._records.write(EventType.REVISION_SEEN, "spec", f"following {source.revision}", sighted)

    def _refuse(self, sighted: str, fault: Blocked) -> None:
        self._refused, self.fault = sighted, fault

    def _fall_back(self) -> None:
        """Nothing can be followed from the start: keep to the commit that was applied last."""
        applied = self._records.note(APPLIED)
        commit = applied.get("revision")
        if not commit or applied.get("dirty"):
            return
        try:
            source = self.follower.source(str(commit))
            site = open_source(source)
        except ModelctlError:
            return  # the fault that is in force already says more
        if source.revision.commit == commit and not source.revision.dirty and site.places == self.site.places:
            self.source, self.site, self.identity = source, site, str(commit)


def site_of(follower: Follower, folder: Path) -> Site:
    """The site of what is followed; where that does not load, of the work tree."""
    sighting = follower.look()
    if sighting.identity is not None:
        try:
            return open_source(follower.source(sighting.identity))
        except ModelctlError:
            pass  # the watcher says so by itself, once it runs
    return open_folder(folder)


def _moved(site: Site, now: Site) -> Blocked:
    return Blocked(
        "SupervisorMoved",
        f"settings.supervisor is {now.supervisor_kind}, and what is watched runs under"
        f" {site.supervisor_kind}: `modelctl plan` says how to move; then start the watcher anew",
    )


def words_of(error: ModelctlError) -> str:
    """The first fault with its place, and how many more there are."""
    faults = error.faults if isinstance(error, SpecErrors) else (error,)
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return (f"{first.where}: {first.what}" if first.where else first.what) + more
