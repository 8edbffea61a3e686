"""The loop: look, decide, do a pass, wait for a hint. What it decides by is in `decide`, pure."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.core.attempts import Attempt, failed
from reconciler.core.errors import ModelctlError, StoreError
from reconciler.core.events import EventType
from reconciler.core.suspension import EVERYTHING, in_force
from reconciler.core.types import ModelId
from reconciler.host.file_watch import FolderWatch
from reconciler.host.records import Records
from reconciler.host.sd_notify import ServiceNotifier
from reconciler.host.state import State
from reconciler.reconcile.announce import ATTEMPTED, identity
from reconciler.reconcile.executor import Listener
from reconciler.reconcile.plan import Request
from reconciler.reconcile.session import Source
from reconciler.watch import machine
from reconciler.watch.decide import Blocked, Facts, Memory, Pace, Reconcile, decide, held_back, next_retry
from reconciler.watch.gpus import ProfileKeeper
from reconciler.watch.hooks import HookRunner
from reconciler.watch.keeping import Keeping
from reconciler.watch.passes import Pass, run_pass
from reconciler.watch.record import Following, WatcherRecord
from reconciler.watch.remote import RemoteFollower
from reconciler.watch.retired import RetiredWatch
from reconciler.watch.source import CurrentSource, words_of

_BUSY_SECONDS = 0.5
"""Until a pass is tried again while somebody else changes the machine."""
_HOOK_SECONDS = 1.0
"""Between looks for events that others wrote, where the spec has hooks."""
_HINT_SECONDS = 1.0
"""Hints look at the machine no more often than this: an editor or a Git command gives many."""
_ALIVE_SECONDS = 300.0
"""A round without a pass takes far less; the service manager's watchdog is told so."""
_PASS_SECONDS = 6 * 3600.0
"""A pass may download models."""
_WHOLE = ModelId("*")
"""In the place of a model: a failure of a pass as a whole."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person told the watcher."""

    folder: Path
    follow: str
    prune: bool
    pace: Pace
    remote: RemoteFollower | None = None


class Watcher:
    """Holds the machine to the spec that is followed. The caller holds the watcher's lock.

    Raises StoreError when its database is taken from under it: what it remembers is nobody's any more.
    """

    def __init__(
        self,
        options: Options,
        current: CurrentSource,
        state: State,
        listeners: Sequence[Listener],
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._current = current
        self._remote = options.remote
        self._state = state
        self._listeners = listeners
        self._say = say
        self._records = Records(state)
        self._record = WatcherRecord(self._records)
        self._notifier = ServiceNotifier()
        self._profile = ProfileKeeper()
        self._hooks = HookRunner(self._records)
        self._retired = RetiredWatch(state)
        self._keeping = Keeping()
        self._machine = machine.Machine()
        self._memory: Memory | None = None
        self._whole: Attempt | None = None
        self._objection: Blocked | None = None
        self._blocked: Blocked | None = None
        self._looked = 0.0
        self._hinted = False
        self._not_before = 0.0
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        self._stop = stop
        what = f"pid {os.getpid()} follows {self._options.follow} in {self._options.folder}"
        self._records.write(EventType.WATCH_BEGAN, "watch", what)
        folders = FolderWatch()
        try:
            hint = True
            self._notifier.alive_for(_ALIVE_SECONDS)
            self._notifier.ready()
            while not stop.is_set():
                folders.watch(self._folders())
                seconds = self._round(hint=hint)
                self._notifier.alive_for(_ALIVE_SECONDS)
                hint = folders.wait(seconds, stop)
        finally:
            self._notifier.stopping()
            folders.close()
            self._records.write(EventType.WATCH_ENDED, "watch", "told to end")
            self._record.erase()
            self._hooks.close()

    def once(self) -> Pass | None:
        """One look, and one pass; None when there was nothing to follow or everything is suspended."""
        if self._remote is not None:
            self._remote.once()
        self._current.look(at_once=True)
        self._look_at_machine()
        facts = self._facts()
        done = None
        if self._current.source is not None and isinstance(
            decide(facts, None, self._options.pace), Reconcile
        ):
            done = self._pass(self._current.source, "asked for once", facts)
        self._tell()
        self._run_hooks()
        self._record.erase()
        self._hooks.close()
        return done

    @property
    def blocked(self) -> Blocked | None:
        """Why the newest is not followed, if so."""
        return self._blocked

    def _round(self, *, hint: bool) -> float:
        """Look and act once; returns the seconds until the next round, unless there is a hint."""
        now = time.monotonic()
        moved = self._remote is not None and self._remote.tick(now)
        due = now - self._looked >= self._options.pace.look
        if hint or moved or due or self._current.settles_in() is not None:
            self._current.look()
        self._hinted = self._hinted or hint
        if due or (self._hinted and now - self._looked >= _HINT_SECONDS):
            self._look_at_machine()
        self._tell()
        for resource in self._records.end_suspensions(time.time()):
            name = "everything" if resource == EVERYTHING else resource
            self._records.write(EventType.RESUMED, name, "its suspension is over")
        decision = decide(self._facts(), self._memory, self._options.pace)
        if isinstance(decision, Reconcile) and now >= self._not_before and self._current.source is not None:
            self._pass(self._current.source, decision.cause, self._facts())
            decision = decide(self._facts(), self._memory, self._options.pace)
        self._tell()
        self._run_hooks()
        return self._rest(0.0 if isinstance(decision, Reconcile) else decision.seconds)

    def _folders(self) -> tuple[Path, ...]:
        """Where a change hints at something: the spec, Git, the units' files, the store."""
        folders = (
            *self._current.follower.folders(),
            *machine.folders(self._current.site, self._state.units()),
        )
        return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))

    def _rest(self, seconds: float) -> float:
        now = time.monotonic()
        waits = [max(seconds, self._not_before - now), self._looked + self._options.pace.look - now]
        if self._hinted:
            waits.append(self._looked + _HINT_SECONDS - now)
        settling = self._current.settles_in()
        if settling is not None:
            waits.append(settling)
        if self._remote is not None:
            waits.append(self._remote.wait(now))
        if self._current.source is not None and self._current.source.spec.hooks:
            waits.append(_HOOK_SECONDS)
        return max(0.01, min(waits))

    def _look_at_machine(self) -> None:
        self._looked, self._hinted = time.monotonic(), False
        if not self._state.is_current:
            raise StoreError(
                "the state database was moved or replaced while the watcher ran",
                hint="start the watcher again",
            )
        try:
            seen = machine.look(self._current.site, self._state.units())
        except ModelctlError as error:
            self._objection = Blocked("CannotLook", words_of(error))
            return
        for kind, name, message in machine.happened(self._machine, seen):
            self._records.write(kind, name, message)
        self._machine = seen
        self._retired.look(self._state.units().values())
        if self._current.source is not None:
            self._look_at_gpus(self._current.source)

    def _look_at_gpus(self, source: Source) -> None:
        before = self._profile.active
        active = self._profile.look(source.spec, self._current.site, self._state)
        if active != before and self._memory is not None:
            told = f"{before or 'none'} → {active or 'none'}"
            self._records.write(EventType.PROFILE_CHANGED, "profile", told)

    def _facts(self) -> Facts:
        now = time.time()
        suspended = in_force(self._records.suspensions(), now)
        attempts = [*self._records.attempts().values(), *([self._whole] if self._whole else [])]
        retry = next_retry(attempts, self._revision)
        return Facts(
            now=time.monotonic(),
            source=self._current.identity,
            machine=self._machine.fingerprint,
            profile=self._profile.active,
            suspended=frozenset(suspended),
            everything_suspended=EVERYTHING in suspended,
            retry_in=None if retry is None else retry - now,
        )

    @property
    def _revision(self) -> str:
        return identity(self._current.source.revision) if self._current.source else ""

    def _pass(self, source: Source, cause: str, facts: Facts) -> Pass | None:
        likely = self._memory is None or self._memory.source != facts.source
        self._memory = _memory(facts)
        self._objection = self._applied_by_hand(source)
        if self._objection is not None:
            return None
        attempts = self._records.attempts().values()
        suspended = frozenset(map(ModelId, facts.suspended))
        left_out = held_back(attempts, self._revision, time.time()) | suspended
        keep = self._keeping.due(attempts, self._revision) - suspended
        self._notifier.alive_for(_PASS_SECONDS)
        self._notifier.status(f"reconciling: {cause}")
        try:
            done = run_pass(
                source,
                self._current.site,
                self._state,
                Request(prune=self._options.prune, without=left_out, keep=keep),
                self._listeners,
                likely=likely,
                still_wanted=lambda: self._still_wanted(source, facts.profile),
            )
        except ModelctlError as error:
            self._whole = failed(self._whole, _WHOLE, self._revision, time.time(), error.what)
            self._objection = Blocked("CannotPlan", words_of(error))
            return None
        if done.plan is None:
            self._memory = replace(self._memory, source=None)
            self._not_before = time.monotonic() + _BUSY_SECONDS
            return None
        self._whole = None
        self._objection = next(
            (Blocked("PruneRefused", refusal.reason) for refusal in done.plan.refused if refusal.guard), None
        )
        if done.results:
            self._keeping.heard(done.results)
            self._say(f"{cause}: {len(done.results)} operations, {done.failures} failed ({source.revision})")
            self._machine = machine.look(self._current.site, self._state.units())
        self._memory = replace(_memory(self._facts()), source=facts.source, profile=facts.profile)
        if not done.whole:
            self._memory = replace(self._memory, source=None)
        return done

    def _still_wanted(self, source: Source, profile: str | None) -> bool:
        """Asked before a pass changes anything, and during one that downloads: hours, perhaps."""
        if self._stop.is_set():
            return False
        self._current.look()
        if self._current.source is not source or self._applied_by_hand(source) is not None:
            return False
        if time.monotonic() - self._looked >= self._options.pace.look:
            self._looked = time.monotonic()
            self._look_at_gpus(source)
        return self._profile.active == profile

    def _applied_by_hand(self, source: Source) -> Blocked | None:
        """Somebody applied the edited work tree by hand: that stays until it is committed or dropped."""
        attempted = self._records.note(ATTEMPTED)
        if (
            self._current.sighting.dirty
            and attempted.get("dirty")
            and attempted.get("revision") == source.revision.commit
            and not source.revision.dirty
        ):
            return Blocked(
                "AppliedByHand", "edits that are not committed were applied by hand: commit or drop them"
            )
        return None

    def _run_hooks(self) -> None:
        if self._current.source is not None:
            self._hooks.dispatch(self._current.source.spec.hooks)

    def _tell(self) -> None:
        """How it stands, for `status`, events and the service manager."""
        sighting, source = self._current.sighting, self._current.source
        remote = self._remote.blocked if self._remote else None
        blocked = sighting.blocked or self._current.fault or remote or self._objection
        if blocked != self._blocked:
            if blocked is None:
                self._records.write(EventType.UNBLOCKED, "watch", "going on", self._current.identity)
            elif blocked.reason != "SpecInvalid":  # that is an event of its own
                self._records.write(EventType.BLOCKED, "watch", blocked.message, self._current.identity)
            if blocked is not None:
                self._say(f"{blocked.reason}: {blocked.message}")
        self._blocked = blocked
        following = str(source.revision) if source else "nothing yet"
        self._notifier.status(f"following {following}" + (f"; {blocked.reason}" if blocked else ""))
        self._record.write(
            Following(
                str(self._options.folder),
                self._options.follow,
                self._options.prune,
                source.revision.commit if source else None,
                sighting.dirty,
                blocked,
            ),
            self._profile.conditions,
        )


def _memory(facts: Facts) -> Memory:
    return Memory(facts.now, facts.source, facts.machine, facts.profile, facts.suspended)
