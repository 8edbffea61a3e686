"""Fetch one file and link it as `m@v`, as a process of its own that a test may trace and kill.

Prints the hash; on a failure that modelctl has words for, prints its type and words and exits with 1.
"""

import sys
from pathlib import Path

from reconciler.core.errors import ModelctlError
from reconciler.core.types import ModelId, Sha256, VersionId
from reconciler.host.artifacts.fetch import Fetcher, Wanted
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.sources import parse_source
from reconciler.host.artifacts.store import Store
from tests.support.artifacts import QUICK


def main(store: str, url: str, endpoint: str, sha256: str) -> int:
    """`endpoint` and `sha256` may be empty."""
    environment = {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    by = Fetcher(Store(Path(store)), network_from(environment, limits=QUICK))
    try:
        fetched = by.fetch(Wanted(parse_source(url), None, Sha256(sha256) if sha256 else None))
        by.store.link(ModelId("m"), VersionId("v"), {"model.gguf": fetched.sha256}, {})
    except ModelctlError as error:
        print(f"{type(error).__name__}: {error.what}")
        return 1
    print(fetched.sha256)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
