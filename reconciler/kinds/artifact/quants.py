"""Finding one GGUF among the files of a repository by its quantisation, and naming a new version. Pure."""

import re
from collections.abc import Collection, Iterable

_SHARD = re.compile(r"-(\d{5})-of-\d{5}\.gguf$", re.IGNORECASE)
_COMPANION = re.compile(r"(?:^|[-_./])(?:mmproj|imatrix)", re.IGNORECASE)


def models(files: Iterable[str]) -> tuple[str, ...]:
    """The files that a version can begin with: GGUFs and first shards, no projectors or matrices."""
    return tuple(
        sorted(
            file
            for file in files
            if file.lower().endswith(".gguf")
            and not _COMPANION.search(file)
            and ((shard := _SHARD.search(file)) is None or int(shard[1]) == 1)
        )
    )


def matching(files: Iterable[str], quant: str) -> tuple[str, ...]:
    """Those of `models(files)` that have `quant` as a whole word, in whatever case.

    `Q4_K` is no word of `Q4_K_M`, and `Q4_0` is none of `IQ4_0`. A file's whole path matches itself alone.
    """
    found = models(files)
    if quant in found:
        return (quant,)
    word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(quant)}(?![A-Za-z0-9_])", re.IGNORECASE)
    return tuple(file for file in found if word.search(file))


def next_version_id(day: str, taken: Collection[str]) -> str:
    """`YYYY-MM-DD-NN`, the first of that day that is free."""
    number = 1
    while f"{day}-{number:02}" in taken:
        number += 1
    return f"{day}-{number:02}"
