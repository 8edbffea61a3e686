"""A disk without room, for real: one worded error, the old files stay, and more room is all it takes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.errors import StoreError
from tests.support import hostile
from tests.support.artifacts import FILE, REPO, blobs, fetch, fetcher, sha256_of, some_bytes
from tests.support.hub import Handler, Hub, Stored

SMALL, LARGE = some_bytes(300_000, seed=1), some_bytes(600_000, seed=2)


@pytest.fixture
def one_mebibyte(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_what_does_not_fit_is_refused_before_a_byte_is_written(one_mebibyte: Path) -> None:
    with Hub() as hub:
        hub.add(REPO, "small.gguf", SMALL)
        hub.add(REPO, FILE, some_bytes(2_000_000))
        by = fetcher(one_mebibyte, hub)
        fetch(by, f"hf://{REPO}/small.gguf")
        hub.sent = 0
        with pytest.raises(StoreError, match=r"1.9 MiB more do not fit") as caught:
            fetch(by)
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("free ")
        assert by.store.has(sha256_of(SMALL))
        assert sum(path.stat().st_blocks for path in one_mebibyte.glob("partial/*")) == 0


def test_a_disk_that_fills_up_meanwhile_ends_the_download_and_room_lets_it_finish(one_mebibyte: Path) -> None:
    filler = one_mebibyte / "filler"

    @hostile.for_bytes
    def fill_the_disk(_handler: Handler, _stored: Stored) -> bool:
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True)
        return False

    with Hub() as hub:
        hub.add(REPO, "small.gguf", SMALL)
        hub.add(REPO, FILE, LARGE)
        by = fetcher(one_mebibyte, hub)
        fetch(by, f"hf://{REPO}/small.gguf")
        hub.intercept = fill_the_disk
        with pytest.raises(StoreError, match=r"the disk is full|cannot be made safe|do not fit"):
            fetch(by)
        assert blobs(one_mebibyte) == {f"sha256-{sha256_of(SMALL)}"}
        hub.intercept = None
        filler.unlink()
        assert fetch(by).sha256 == sha256_of(LARGE)
