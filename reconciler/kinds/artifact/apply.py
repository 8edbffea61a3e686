"""Does what the plan lists for artifacts: one file into the store, one version's folder."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from reconciler.core.operations import Operation, Verb
from reconciler.core.types import Sha256
from reconciler.gguf.reader import Part, read_header, read_model
from reconciler.host.artifacts.fetch import Fetched, Fetcher, Wanted
from reconciler.host.artifacts.sources import parse_source
from reconciler.host.artifacts.store import Store
from reconciler.host.gguf_file import open_local
from reconciler.kinds.artifact.plan import KIND, Fetch, Link

Report = Callable[[Operation, Exception | None], None]

METADATA_VERSION = 1
_FETCHES_AT_ONCE = 3
"""Each uses several connections; more would only take bandwidth from each other."""


@dataclass(frozen=True, slots=True)
class ArtifactApplier:
    """Handlers for the verbs of artifacts."""

    fetcher: Fetcher

    def handlers(self) -> Mapping[tuple[str, Verb], Callable[[Sequence[Operation], Report], None]]:
        return {(KIND, Verb.PULL): self._pull, (KIND, Verb.LINK): self._link}

    def _pull(self, batch: Sequence[Operation], report: Report) -> None:
        def pull(operation: Operation) -> None:
            what: Fetch = operation.payload
            fetch(self.fetcher, what.url, what.revision, what.sha256)

        with ThreadPoolExecutor(min(len(batch), _FETCHES_AT_ONCE), thread_name_prefix="pull") as pool:
            for operation in batch:
                pool.submit(_reported, operation, report, pull)

    def _link(self, batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            _reported(operation, report, lambda linked: link(self.fetcher.store, linked.payload))


def fetch(fetcher: Fetcher, url: str, revision: str | None, sha256: Sha256 | None) -> Fetched:
    """Have one file in the store; errors as `Fetcher.fetch` raises them."""
    return fetcher.fetch(Wanted(parse_source(url), revision, sha256))


def link(store: Store, what: Link) -> None:
    """Make a version's folder, once the headers of its files were read by our own bounded reader.

    FormatError for a file that no engine should be given; IntegrityError where a blob is missing.
    """
    files = {file.name: file.sha256 for file in what.files if file.sha256 is not None}
    _check_headers(store, what)
    document = {
        "format_version": METADATA_VERSION,
        "model": what.model,
        "version": what.version,
        "files": [
            {"name": file.name, "url": file.url, "revision": file.revision, "sha256": file.sha256}
            for file in what.files
        ],
    }
    store.link(what.model, what.version, files, document)


def _check_headers(store: Store, what: Link) -> None:
    with ExitStack() as opened:
        parts: list[Part] = []
        for file in what.files:
            if file.sha256 is None:
                raise ValueError(f"{file.name} has no sha256; such a version is never planned")
            part = Part(opened.enter_context(open_local(store.blob_path(file.sha256))), file.name)
            if file.at:
                read_header(part)
            else:
                parts.append(part)
        read_model(parts)


def _reported(operation: Operation, report: Report, do: Callable[[Operation], None]) -> None:
    try:
        do(operation)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is this operation's failure alone
        report(operation, error)
    else:
        report(operation, None)
