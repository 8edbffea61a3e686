"""Several processes want the same file: one downloads, the others wait and find it."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.artifacts.conftest import ROOT, assert_whole, command, environment
from tests.support.artifacts import FILE, REPO, URL, blobs, sha256_of, some_bytes
from tests.support.hub import Hub

CONTENT = some_bytes(3_000_000)


@pytest.mark.slow
def test_twenty_pulls_of_one_file_download_it_once(tmp_path: Path) -> None:
    with Hub() as hub:
        hub.add(REPO, FILE, CONTENT)
        processes = [
            subprocess.Popen(
                command(tmp_path, URL, hub.endpoint),
                cwd=ROOT,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(20)
        ]
        ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
        assert ends == [(f"{sha256_of(CONTENT)}\n", "", 0)] * 20
        assert hub.sent < 2 * len(CONTENT)
    assert blobs(tmp_path) == {f"sha256-{sha256_of(CONTENT)}"}
    assert not list((tmp_path / "partial").iterdir())
    assert_whole(tmp_path, allowed={sha256_of(CONTENT)})
