"""Move one remote file into a partial file: a few connections, large parts, hashed while it arrives.

Threads: each connection writes its parts in place; the hasher follows behind the first gap and reads back
what the page cache still holds; the saver makes what arrived outlive a crash; the caller's own thread reports
progress.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic
from typing import Any

from reconciler.core.errors import GivenUpError, IntegrityError, SourceError
from reconciler.core.sizes import format_bytes
from reconciler.core.types import Bytes, Sha256
from reconciler.host.artifacts.errors import StartOverError, TransientError
from reconciler.host.artifacts.limits import Limits
from reconciler.host.artifacts.offers import range_headers, read_offer
from reconciler.host.artifacts.partial import Partial, Remembered
from reconciler.host.artifacts.ranges import Ranges, Span
from reconciler.host.artifacts.retries import patiently
from reconciler.host.artifacts.web import Answer, Client, Origin, Token
from reconciler.host.artifacts.worklist import Worklist

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be, a few times a second.

It may raise GivenUpError to end a download that can go on later."""

_READ = 1024**2
_HASH_READ = 4 * 1024**2
_SAVE_EVERY_SECONDS = 2.0
_TICK_SECONDS = 0.1
_HASHER_TICK_SECONDS = 0.01
_MOVED_ON = {401, 403, 404, 410}
"""What a signed address answers when its time is over."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What to transfer, and what is known of it beforehand."""

    url: str
    label: str
    """What a person calls it."""
    token: Token | None
    size: Bytes | None
    sha256: Sha256 | None
    explain: Callable[[Answer], SourceError]
    """Words for an answer that is an error."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file that is there in whole; whether it is the right one is the caller's to judge."""

    sha256: Sha256
    size: Bytes
    resumed: bool
    """Whether some of it came from a download before this one."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a transfer needs of its surroundings."""

    new_client: Callable[[], Client]
    limits: Limits
    require_space: Callable[[int], None]
    """Told how many bytes the file has on the whole; StoreError where they do not fit."""
    progress: Progress


def transfer(remote: RemoteFile, partial: Partial, means: Means) -> Received:
    """Bring `partial` to the remote file's full length and hash it.

    Goes on where an earlier download stopped, starts over when the remote file changed under it, and ends
    with SourceError or IntegrityError after bounded tries. OSError means that the disk failed.
    """
    known = partial.remembered()
    if known is not None and not _may_resume(known, remote):
        known = None
    attempts = 0
    while True:
        if known is None:
            partial.reset()
        try:
            return _Attempt(remote, partial, means, known).run()
        except StartOverError as error:
            attempts += 1
            if attempts == means.limits.attempts:
                raise SourceError(
                    f"{remote.label}: {error.what}, {attempts} times in a row",
                    hint="try again later or use another source",
                ) from None
        except SourceError as error:
            if error.what.startswith(remote.label):
                raise
            raise SourceError(f"{remote.label}: {error.what}", hint=error.hint) from None
        known = None
        threading.Event().wait(means.limits.wait_seconds(attempts, None))


def _may_resume(known: Remembered, remote: RemoteFile) -> bool:
    """Without a hash to hold it to, a resumed file needs an ETag that says that it is still the same one."""
    return (remote.size is None or remote.size == known.size) and bool(remote.sha256 or known.etag)


class _Attempt:
    """From the first request to the last byte, or to a failure; StartOverError asks for another one."""

    def __init__(self, remote: RemoteFile, partial: Partial, means: Means, known: Remembered | None) -> None:
        self._remote = remote
        self._partial = partial
        self._means = means
        self._limits = means.limits
        self._known = known
        self._size: int | None = known.size if known else remote.size
        self._etag = known.etag if known else None
        self._url = remote.url
        """Where redirects led to; the next requests go there directly."""
        self._whole = False
        """The server knows no ranges: one connection, from begin to end, and no resuming."""
        self._stop = threading.Event()
        self._clients: list[Client] = []

    def run(self) -> Received:
        finished = Ranges(self._known.finished if self._known else ())
        part = self._limits.part
        try:
            client, answer = self._client(), None
            if self._size is None or finished.prefix < self._size:
                first = next(finished.gaps(self._size or part, part))
                answer = patiently(lambda: self._open(client, first), self._limits)
            if self._size is None:
                raise AssertionError("an answer always tells the size")
            self._means.require_space(self._size)
            work = Worklist(self._size, finished.spans, self._size if self._whole else part)
            try:
                sha256 = self._run_threads(work, client, answer)
            except (SourceError, GivenUpError, KeyboardInterrupt):
                self._remember(work)
                raise
            return Received(sha256, Bytes(self._size), resumed=self._known is not None)
        finally:
            for each in self._clients:
                each.close()

    def _run_threads(self, work: Worklist, client: Client, answer: Answer | None) -> Sha256:
        others = [self._client() for _ in range(min(self._limits.connections, len(work)) - 1)]
        with ThreadPoolExecutor(len(others) + 3, thread_name_prefix="transfer") as pool:
            hasher = pool.submit(self._hash, work)
            tasks: set[Future[Any]] = {hasher, pool.submit(self._save, work)}
            tasks.add(pool.submit(self._fetch, work, client, answer))
            tasks |= {pool.submit(self._fetch, work, other, None) for other in others}
            try:
                while tasks:
                    done, tasks = wait(tasks, timeout=_TICK_SECONDS, return_when=FIRST_EXCEPTION)
                    for task in done:
                        task.result()
                    self._means.progress(work.total, work.size)
            finally:
                self._stop.set()
                for each in self._clients:
                    each.abort()
            return hasher.result()

    def _client(self) -> Client:
        client = self._means.new_client()
        self._clients.append(client)
        return client

    def _open(self, client: Client, part: Span) -> Answer:
        """Ask for `part`; what the server offers must be the file that the parts before came from."""
        answer = client.get(self._url, range_headers(part, self._etag), token=self._remote.token)
        try:
            self._accept(answer, part)
        except SourceError:
            client.close()  # its body was not read, so the connection is of no use for the next request
            raise
        return answer

    def _accept(self, answer: Answer, part: Span) -> None:
        offer = read_offer(answer.status, answer.headers, answer.length, part)
        if offer is None:
            raise self._refusal(answer)
        if offer.size == 0:
            raise IntegrityError(f"{self._remote.label} is empty", hint="check the source")
        if self._remote.size not in {None, offer.size}:
            raise IntegrityError(
                f"{self._remote.label}: {self._remote.size} bytes were promised, the server has {offer.size}",
                hint="try again later; if it stays so, the source is broken",
            )
        if self._size not in {None, offer.size} or self._etag not in {None, offer.etag}:
            raise StartOverError("the file on the server changed during the download")
        self._size, self._etag, self._whole = offer.size, offer.etag, offer.whole
        self._url = answer.url

    def _refusal(self, answer: Answer) -> SourceError:
        if answer.url == self._remote.url:
            return self._remote.explain(answer)
        self._url = self._remote.url
        what = f"{Origin.of(answer.url).host}, where the source redirects to, answered {answer.status}"
        if answer.status in _MOVED_ON:
            return TransientError(what)
        return SourceError(what, hint="try again later or use another source")

    def _fetch(self, work: Worklist, client: Client, answer: Answer | None) -> None:
        """Fetch parts until all have arrived. A connection that keeps failing leaves it to the others."""
        failures = 0
        work.join()
        while not (self._stop.is_set() or work.arrived.is_set()):
            part = work.take()
            if part is None:
                work.arrived.wait(_TICK_SECONDS)
                continue
            reached = part[0]
            try:
                answer = answer or self._open(client, part)
                for reached in self._receive(work, answer, part):  # noqa: B007 - counts when it fails, too
                    pass
                answer.finish()
                failures = 0
            except TransientError as error:
                client.close()
                if self._whole:
                    raise StartOverError(f"{error.what}, and the server cannot resume") from None
                work.put_back((reached, part[1]))
                failures = 1 if reached - part[0] >= self._limits.progress else failures + 1
                if failures >= self._limits.attempts:
                    if work.leave():
                        return
                    raise
                self._stop.wait(self._limits.wait_seconds(failures, error.retry_after))
            answer = None

    def _receive(self, work: Worklist, answer: Answer, part: Span) -> Iterator[int]:
        """Write what the answer brings; yields the position that was reached."""
        position, end = part
        since, counted = monotonic(), 0
        while position < end:
            data = answer.read(min(_READ, end - position))
            if not data or self._stop.is_set():
                raise TransientError(f"the server stopped {format_bytes(end - position)} early")
            self._partial.write_at(position, data)
            work.wrote(position, position + len(data))
            position += len(data)
            yield position
            counted += len(data)
            elapsed = monotonic() - since
            if elapsed >= self._limits.stall_seconds:
                if counted < self._limits.minimum_rate * elapsed:
                    raise TransientError(f"the server sent only {counted} bytes in {elapsed:.0f} s")
                since, counted = monotonic(), 0

    def _hash(self, work: Worklist) -> Sha256:
        """Hash from the first byte on, close behind what has been written without a gap."""
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_HASH_READ))
        position = 0
        while position < work.size:
            ready = work.prefix
            if ready < min(position + _HASH_READ, work.size):
                if self._stop.is_set():
                    raise TransientError("stopped")
                work.arrived.wait(_HASHER_TICK_SECONDS)
                continue
            count = self._partial.read_at(position, buffer[: ready - position])
            if count == 0:
                raise StartOverError("the partial file was cut by someone else")
            digest.update(buffer[:count])
            position += count
        self._stop.set()
        return Sha256(digest.hexdigest())

    def _save(self, work: Worklist) -> None:
        """Make what has arrived outlive a crash, now and then."""
        while not self._stop.wait(_SAVE_EVERY_SECONDS):
            self._remember(work)

    def _remember(self, work: Worklist) -> None:
        if not self._whole:
            self._partial.remember(work.size, self._etag, work.written())
