"""Follows a remote branch: fetches now and then, and fast-forwards the checked-out branch, nothing else."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from reconciler.core.checkout import Fetched
from reconciler.core.errors import ModelctlError
from reconciler.host import git_watch
from reconciler.watch.decide import Blocked, Forward, follow_remote, unfit


@dataclass(frozen=True, slots=True)
class RemoteBranch:
    """`origin/main`, and how often it is looked at."""

    remote: str
    branch: str
    every: float


class RemoteFollower:
    """Fetches in a thread of its own: a slow network delays no repair."""

    def __init__(self, repository: git_watch.Repository, what: RemoteBranch) -> None:
        self._repository = repository
        self._what = what
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._under_way: Future[Fetched] | None = None
        self._due = 0.0
        self._rewritten = False
        self.blocked: Blocked | None = None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def tick(self, now: float) -> bool:
        """Go on with whatever is due; whether the checked-out branch was moved."""
        if self._under_way is not None:
            return self._under_way.done() and self._take(self._under_way, now)
        if now >= self._due:
            what = self._what
            self._under_way = self._pool.submit(git_watch.fetch, self._repository, what.remote, what.branch)
        return False

    def wait(self, now: float) -> float:
        """Seconds until `tick` has something to do."""
        return 0.2 if self._under_way is not None else max(0.0, self._due - now)

    def once(self) -> None:
        """Fetch and follow now, in this thread."""
        done: Future[Fetched] = self._pool.submit(
            git_watch.fetch, self._repository, self._what.remote, self._what.branch
        )
        done.exception()
        self._take(done, 0.0)

    def _take(self, done: Future[Fetched], now: float) -> bool:
        self._under_way, self._due = None, now + self._what.every
        try:
            fetched = done.result()
        except ModelctlError as error:
            self.blocked = _blocked("RemoteUnreachable", error)
            return False
        try:
            return self._follow(fetched)
        except ModelctlError as error:
            self.blocked = _blocked("CannotForward", error)
            return False

    def _follow(self, fetched: Fetched) -> bool:
        self._rewritten = fetched.rewritten or (self._rewritten and bool(fetched.ahead or fetched.behind))
        checkout = git_watch.read_checkout(self._repository)
        if unfit(checkout) is not None:
            return False  # said by whoever follows the checkout
        answer = follow_remote(
            checkout,
            Fetched(fetched.commit, fetched.ahead, fetched.behind, self._rewritten),
            self._what.remote,
            self._what.branch,
        )
        self.blocked = answer if isinstance(answer, Blocked) else None
        if isinstance(answer, Forward):
            git_watch.fast_forward(self._repository, answer.commit)
            return True
        return False


def _blocked(reason: str, error: ModelctlError) -> Blocked:
    hint = f" ({error.hint})" if error.hint else ""
    return Blocked(reason, f"{error.what}; what is checked out goes on{hint}")
