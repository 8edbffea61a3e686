"""Decides when to reconcile, what to leave out of it, and whether a checkout can be followed. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.attempts import Attempt
from reconciler.core.checkout import Checkout, Fetched
from reconciler.core.types import ModelId


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between things."""

    look: float = 10.0
    """Between looks at units, files and the checkout; changes that give a hint are seen at once."""
    full: float = 60.0
    """Between two passes when nothing seems to have changed."""
    least: float = 1.0
    """Between two passes for what changed on the machine, so that one that flaps costs little."""
    quiet: float = 0.0
    """For so long nothing may have been saved before it is read."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen at one moment. `now` is in seconds of a clock that only runs forward."""

    now: float
    source: str | None
    """What is followed: a commit, or the hash of the saved files. None while there is nothing to follow."""
    machine: str
    """Fingerprint of units and files; that it changed says that a pass is worth it, no more."""
    profile: str | None
    suspended: frozenset[str]
    everything_suspended: bool
    retry_in: float | None
    """Until the first of what failed may be tried again; None when nothing waits."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What was seen at the end of the last pass."""

    at: float
    source: str | None
    machine: str
    profile: str | None
    suspended: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Do a pass now."""

    cause: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for so many seconds, unless something happens."""

    seconds: float


def decide(facts: Facts, memory: Memory | None, pace: Pace) -> Reconcile | Wait:
    """Reconcile now, or wait."""
    if facts.source is None or facts.everything_suspended:
        return Wait(pace.look)
    if memory is None:
        return Reconcile("the watcher began")
    since = facts.now - memory.at
    cause = _cause(facts, memory) or (_cause_of_time(facts, memory, pace) if since >= pace.least else None)
    if cause is not None:
        return Reconcile(cause)
    waits = [pace.look, pace.full - since]
    if facts.machine != memory.machine:
        waits.append(pace.least - since)
    if facts.retry_in is not None:
        waits.append(facts.retry_in)
    return Wait(max(0.0, min(waits)))


def _cause(facts: Facts, memory: Memory) -> str | None:
    """What cannot wait: somebody wants it."""
    resumed = memory.suspended - facts.suspended
    if facts.source != memory.source:
        return "a new revision"
    if facts.profile != memory.profile:
        return f"profile {facts.profile} is active"
    return f"resumed: {', '.join(sorted(resumed))}" if resumed else None


def _cause_of_time(facts: Facts, memory: Memory, pace: Pace) -> str | None:
    if facts.machine != memory.machine:
        return "the machine changed"
    if facts.retry_in is not None and facts.retry_in <= 0:
        return "time to try again what failed"
    return "a look at everything" if facts.now - memory.at >= pace.full else None


def held_back(attempts: Iterable[Attempt], revision: str, now: float) -> frozenset[ModelId]:
    """Models whose change failed at this revision and is not to be tried again yet, or not at all."""
    return frozenset(one.model for one in attempts if one.revision == revision and not one.may_try(now))


def next_retry(attempts: Iterable[Attempt], revision: str) -> float | None:
    """When the first of what failed at this revision may be tried again."""
    times = [one.retry_at for one in attempts if one.revision == revision and one.retry_at is not None]
    return min(times, default=None)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why something is not followed: a CamelCase word, and a sentence with what mends it."""

    reason: str
    message: str


def unfit(checkout: Checkout | None) -> Blocked | None:
    """None when the checked-out commit can be followed. What was followed before stays in force."""
    if checkout is None:
        return Blocked(
            "NotInGit", "the spec is not in a Git work tree: `git init`, or watch --follow worktree"
        )
    if checkout.operation is not None:
        return Blocked("GitBusy", f"{checkout.operation} is under way; its end is waited for")
    if checkout.commit is None:
        return Blocked("NoCommit", "the repository has no commit yet")
    if checkout.branch is None:
        return Blocked(
            "DetachedHead",
            f"HEAD is detached at {checkout.commit[:12]}, maybe only for a look; `git switch BRANCH` goes on",
        )
    return None


@dataclass(frozen=True, slots=True)
class Forward:
    """Fast-forward the checked-out branch to `commit`."""

    commit: str


def follow_remote(checkout: Checkout, fetched: Fetched, remote: str, branch: str) -> Forward | Blocked | None:
    """What a fetch leads to; None when there is nothing new. Only a fast-forward is ever followed."""
    there = f"{remote}/{branch}"
    if checkout.branch != branch:
        return Blocked(
            "OtherBranch",
            f"{checkout.branch} is checked out, and {there} is to be followed: `git switch {branch}`",
        )
    if fetched.rewritten or (fetched.ahead and fetched.behind):
        what = "was rewritten" if fetched.rewritten else "and the checked-out branch went different ways"
        return Blocked(
            "RemoteMoved",
            f"{there} {what} (now {fetched.commit[:12]}): `git log --left-right HEAD...{there}` shows them,"
            f" `git rebase {there}` or `git reset --keep {there}` goes on",
        )
    if not fetched.behind:
        return None
    if checkout.dirty:
        return Blocked(
            "WorkTreeDirty", "there are new commits, but the work tree has edits: commit or drop them"
        )
    return Forward(fetched.commit)


@dataclass(frozen=True, slots=True)
class Settled:
    """Waits until something has been the same for a while."""

    value: str | None = None
    since: float = 0.0

    def see(self, value: str | None, now: float) -> "Settled":
        return self if value == self.value else Settled(value, now)

    def rest(self, now: float, quiet: float) -> float:
        """Seconds until it counts; 0 when it does."""
        return max(0.0, quiet - (now - self.since))
