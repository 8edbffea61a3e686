"""What tests of artifacts share: small files, limits that end within a second, and a fetcher for a folder."""

import hashlib
import random
from pathlib import Path

from reconciler.core.types import Sha256
from reconciler.host.artifacts.fetch import Fetched, Fetcher, Wanted
from reconciler.host.artifacts.limits import Limits
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.sources import parse_source
from reconciler.host.artifacts.store import Store
from tests.support.hub import Hub

QUICK = Limits(
    connect_seconds=1.0,
    answer_seconds=0.6,
    stall_seconds=0.4,
    minimum_rate=1024,
    part=100_000,
    attempts=3,
    progress=64 * 1024,
    first_wait_seconds=0.01,
    longest_wait_seconds=0.05,
)
"""Every end that a download can have comes within a few seconds."""

REPO = "org/repo"
FILE = "folder/model.gguf"
URL = f"hf://{REPO}/{FILE}"


def some_bytes(size: int, seed: int = 0) -> bytes:
    """Bytes that begin as a GGUF does; the same for the same seed."""
    return b"GGUF" + random.Random(seed).randbytes(size - 4)


def sha256_of(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


def fetcher(
    folder: Path, hub: Hub, *, limits: Limits = QUICK, allow_private: tuple[str, ...] = (), token: str = ""
) -> Fetcher:
    """A store in `folder` that asks `hub`."""
    environment = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # never the token of whoever runs the tests
    }
    return Fetcher(Store(folder), network_from(environment, allow_private=allow_private, limits=limits))


def fetch(
    by: Fetcher, url: str = URL, *, revision: str | None = None, sha256: Sha256 | None = None
) -> Fetched:
    return by.fetch(Wanted(parse_source(url), revision, sha256))


def blobs(folder: Path) -> set[str]:
    """The names of everything that the store in `folder` holds under a final name."""
    return {path.name for path in (folder / "blobs").glob("*")}
