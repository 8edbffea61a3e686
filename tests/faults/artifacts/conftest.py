"""A store that is filled by a process of its own, and what must hold of it at every moment."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.artifacts import sha256_of

ROOT = Path(__file__).parents[3]

Run = Callable[..., subprocess.CompletedProcess[str]]


def command(store: Path, url: str, endpoint: str = "", sha256: str = "") -> list[str]:
    return [sys.executable, "-m", "tests.support.fetch_file", str(store), url, endpoint, sha256]


def environment() -> dict[str, str]:
    """So that the interpreter itself writes nothing, and finds this checkout."""
    return os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def run_fetch() -> Run:
    """Run the process to its end, below the words of `tracer` if any are given."""

    def run(
        store: Path, url: str, endpoint: str = "", sha256: str = "", tracer: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*tracer, *command(store, url, endpoint, sha256)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def assert_whole(store: Path, *, allowed: set[str]) -> None:
    """Whatever has a final name is what it says, and a version's folder is complete or absent."""
    for blob in (store / "blobs").glob("*"):
        assert blob.name == f"sha256-{sha256_of(blob.read_bytes())}"
    version = store / "models" / "m" / "v"
    if version.exists():
        assert {path.name for path in version.iterdir()} == {"model.gguf", "metadata.json", "sha256sum"}
        found = sha256_of((version / "model.gguf").read_bytes())
        assert found in allowed
        assert (version / "sha256sum").read_text() == f"{found}  model.gguf\n"
        assert (version / "metadata.json").read_text()
