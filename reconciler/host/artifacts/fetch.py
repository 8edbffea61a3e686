"""Bring one file from its source into the store, verified."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial as bind
from pathlib import Path

from reconciler.core.errors import IntegrityError, SourceError
from reconciler.core.types import Sha256
from reconciler.host.artifacts.adopt import link_blob
from reconciler.host.artifacts.disk import disk_errors
from reconciler.host.artifacts.hub import HubFile, explain, resolve
from reconciler.host.artifacts.local import copy_file
from reconciler.host.artifacts.network import Network
from reconciler.host.artifacts.partial import Partial
from reconciler.host.artifacts.retries import patiently
from reconciler.host.artifacts.sources import FileSource, HubSource, OllamaSource, Source, WebSource
from reconciler.host.artifacts.store import Store
from reconciler.host.artifacts.transfer import Means, Progress, Received, RemoteFile, transfer
from reconciler.host.artifacts.web import Answer
from reconciler.host.ollama_store import OllamaBlob, default_stores, find_blob

_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file, and what the spec says of it."""

    source: Source
    revision: str | None
    sha256: Sha256 | None
    """None: what arrives is taken, and its hash is reported (trust on first use)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is in the store now."""

    sha256: Sha256
    revision: str | None
    """The hub's commit; None where the file does not come from the hub."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Brings files into one store. May be used by several threads and beside other processes."""

    store: Store
    network: Network
    progress: Progress = lambda _done, _total: None
    on_wait: Callable[[], None] = lambda: None
    """Called when another process is fetching the same file."""
    ollama_stores: Sequence[Path] = field(default_factory=lambda: default_stores(os.environ))
    """Where `ollama://` is looked for, in this order."""

    def fetch(self, wanted: Wanted) -> Fetched:
        """Have a file in the store. What is there and untouched is neither hashed again nor asked for.

        SourceError or IntegrityError where the source does not deliver, StoreError where the store cannot
        take it; what the store had before stays.
        """
        source = wanted.source
        resolved = wanted.revision is not None or not isinstance(source, HubSource)
        if resolved and wanted.sha256 is not None and self._is_there(wanted.sha256):
            return Fetched(wanted.sha256, wanted.revision)
        match source:
            case FileSource():
                return self._from_file(source, wanted.sha256)
            case HubSource():
                return self._from_hub(source, wanted)
            case WebSource():
                return self._from_web(source, wanted.sha256)
            case OllamaSource():
                return self._from_ollama(source, wanted.sha256)

    def _from_file(self, source: FileSource, expected: Sha256 | None) -> Fetched:
        return Fetched(self._take(source, str(source), expected, bind(self._copy, source)), None)

    def _from_web(self, source: WebSource, expected: Sha256 | None) -> Fetched:
        self._require_network(str(source))
        remote = RemoteFile(source.url, str(source), None, None, expected, bind(_refusal, source))
        return Fetched(self._take(source, source.url, expected, bind(self._transfer, remote)), None)

    def _from_hub(self, source: HubSource, wanted: Wanted) -> Fetched:
        self._require_network(str(source))
        file = self._resolve(source, wanted.revision)
        if wanted.sha256 and file.sha256 and wanted.sha256 != file.sha256:
            raise IntegrityError(
                f"{source} has sha256 {file.sha256} at {file.revision}, the spec says {wanted.sha256}",
                hint="correct `revision` or `sha256` in the spec, or remove both and run `modelctl pull`",
            )
        expected = wanted.sha256 or file.sha256
        if expected is None or not self._is_there(expected):
            remote = RemoteFile(
                url=file.url,
                label=str(source),
                token=self.network.hub.token,
                size=file.size,
                sha256=expected,
                explain=lambda answer: explain(answer, self.network.hub, source, file.revision),
            )
            expected = self._take(source, file.url, expected, bind(self._transfer, remote))
        return Fetched(expected, file.revision)

    def _from_ollama(self, source: OllamaSource, expected: Sha256 | None) -> Fetched:
        blob = find_blob(self.ollama_stores, source.name, source.layer, expected)
        with disk_errors(self.store.root):
            linked = link_blob(self.store, blob.path, blob.sha256, self.progress, self.on_wait)
        if not linked:
            self._take(source, str(source), blob.sha256, bind(self._copy_blob, blob))
        return Fetched(blob.sha256, None)

    def _resolve(self, source: HubSource, revision: str | None) -> HubFile:
        client = self.network.new_client()
        try:
            return patiently(lambda: resolve(client, self.network.hub, source, revision), self.network.limits)
        except SourceError as error:
            if error.what.startswith(str(source)):
                raise
            raise SourceError(f"{source}: {error.what}", hint=error.hint) from None
        finally:
            client.close()

    def _transfer(self, remote: RemoteFile, partial: Partial) -> Received:
        return transfer(remote, partial, self._means(partial))

    def _copy(self, source: FileSource, partial: Partial) -> Received:
        return copy_file(source.path, partial, self._means(partial))

    def _copy_blob(self, blob: OllamaBlob, partial: Partial) -> Received:
        return copy_file(blob.path, partial, self._means(partial))

    def _means(self, partial: Partial) -> Means:
        def require_space(size: int) -> None:
            self.store.require_space(size, allocated=partial.allocated())

        return Means(self.network.new_client, self.network.limits, require_space, self.progress)

    def _require_network(self, source: str) -> None:
        if self.network.offline:
            raise SourceError(
                f"{source} is not in the store, and the network may not be used",
                hint="unset HF_HUB_OFFLINE or settings.sources.offline, or name a local copy by file://",
            )

    def _is_there(self, sha256: Sha256) -> bool:
        """Whether the blob is good; one that was never recorded, or touched since, is hashed to find out."""
        if self.store.has(sha256):
            return True
        try:
            return self.store.rehash(self.store.blob_path(sha256), sha256)
        except OSError:
            return False

    def _take(
        self, source: Source, place: str, expected: Sha256 | None, receive: Callable[[Partial], Received]
    ) -> Sha256:
        """Receive into a partial file and make it a blob, or find that another process did."""
        key = expected or f"source-{hashlib.sha256(place.encode()).hexdigest()}"
        while True:
            with disk_errors(self.store.root), self.store.partial(key, self.on_wait) as partial:
                if not partial.moved:
                    if expected is not None and self.store.has(expected):
                        partial.discard()  # another process was done just before we asked for the lock
                        return expected
                    return self._receive(source, expected, partial, receive)
                theirs = self.store.trusted_hash(partial)
                if theirs is not None and expected in {None, theirs}:
                    return theirs

    def _receive(
        self,
        source: Source,
        expected: Sha256 | None,
        partial: Partial,
        receive: Callable[[Partial], Received],
    ) -> Sha256:
        received = receive(partial)
        if received.resumed and expected not in {None, received.sha256}:
            # What an earlier run left may have rotted; what comes in one piece decides.
            partial.reset()
            received = receive(partial)
        if expected not in {None, received.sha256}:
            partial.discard()
            raise IntegrityError(
                f"{source} has sha256 {received.sha256}, expected was {expected}; it was thrown away",
                hint="find out why before you trust this source; a changed file is a new version in the spec",
            )
        if os.pread(partial.descriptor, len(_MAGIC), 0) != _MAGIC:
            partial.discard()
            raise IntegrityError(f"{source} is not a GGUF file; it was thrown away", hint="check the source")
        self.store.admit(partial, received.sha256)
        return received.sha256


def _refusal(source: WebSource, answer: Answer) -> SourceError:
    return SourceError(f"{source}: the server answered {answer.status}", hint="open the address in a browser")
