"""Bring a version's files into the store and in place, whether or not the spec says yet which bytes are
meant.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from reconciler.host.artifacts.fetch import Fetcher
from reconciler.host.artifacts.transfer import Progress
from reconciler.kinds.artifact.apply import fetch, link
from reconciler.kinds.artifact.layout import WantedFile, WantedVersion
from reconciler.kinds.artifact.observe import observe
from reconciler.kinds.artifact.plan import Link, is_in_place
from reconciler.spec.edit import SetVersionFields


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told of one file's way."""

    progress: Progress
    on_wait: Callable[[], None]


def pull(fetcher: Fetcher, wanted: WantedVersion, watch: Callable[[WantedFile], Watching]) -> WantedVersion:
    """Have the whole version in place; returns it with every revision and hash known.

    `watch` is asked before each file that may have to travel. Errors as `fetch` and `link` raise them; what
    was in place before stays then.
    """
    if is_in_place(wanted, observe(fetcher.store, [wanted])):
        return wanted
    files: list[WantedFile] = []
    for file in wanted.files:
        watching = watch(file)
        one = replace(fetcher, progress=watching.progress, on_wait=watching.on_wait)
        # The shards of one GGUF come from one commit: the first that is resolved says which.
        revision = file.revision or next((f.revision for f in files if f.at == file.at), None)
        got = fetch(one, file.url, revision, file.sha256)
        files.append(replace(file, revision=got.revision or file.revision, sha256=got.sha256))
    link(fetcher.store, Link(wanted.model, wanted.version, tuple(files)))
    return replace(wanted, files=tuple(files))


def edits(before: WantedVersion, after: WantedVersion) -> tuple[SetVersionFields, ...]:
    """What the spec has to say so that it names exactly the bytes that were pulled."""
    found = []
    for at in dict.fromkeys(file.at for file in after.files):
        old = [file for file in before.files if file.at == at]
        new = [file for file in after.files if file.at == at]
        if old == new:
            continue
        hashes = tuple(file.sha256 for file in new if file.sha256 is not None)
        same = [file.sha256 for file in old] == list(hashes)
        found.append(
            SetVersionFields(
                model=after.model,
                version=after.version,
                revision=None if new[0].revision == old[0].revision else new[0].revision,
                sha256=None if same else hashes[0] if len(hashes) == 1 else hashes,
                companion=at,
            )
        )
    return tuple(found)
