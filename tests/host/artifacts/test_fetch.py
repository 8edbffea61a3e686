"""Fetching a file: from anywhere, once, verified, and going on where it stopped."""

import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.errors import IntegrityError, SourceError, StoreError
from reconciler.host.artifacts.fetch import Fetcher
from tests.support import hostile
from tests.support.artifacts import (
    FILE,
    QUICK,
    REPO,
    blobs,
    fetch,
    fetcher,
    sha256_of,
    some_bytes,
)
from tests.support.hub import Handler, Hub, Stored
from tests.support.waiting import wait_until

CONTENT = some_bytes(1_000_000)
SHA256 = sha256_of(CONTENT)


@pytest.fixture
def by(tmp_path: Path, hub: Hub) -> Fetcher:
    hub.add(REPO, FILE, CONTENT)
    return fetcher(tmp_path / "store", hub)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def interrupted(by: Fetcher, hub: Hub, *, after: int) -> None:
    """Leave a download behind that was broken off by Ctrl-C once it had so many bytes."""

    def stop(done: int, _total: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    hub.intercept = hostile.slow(1_000_000)
    with pytest.raises(KeyboardInterrupt):
        fetch(replace(by, progress=stop))
    hub.intercept = None
    wait_until(lambda: not hub.busy, what="the end of the requests that were broken off")
    hub.sent = 0
    hub.requests.clear()


def test_parts_come_over_several_connections_and_are_put_together(by: Fetcher, hub: Hub) -> None:
    assert fetch(by).sha256 == SHA256
    ranges = [request.range for request in hub.requests if request.path.startswith("/cdn/")]
    assert len(ranges) == len(CONTENT) // QUICK.part
    assert hub.sent == len(CONTENT)


def test_what_is_there_is_not_asked_for_again(by: Fetcher, hub: Hub) -> None:
    got = fetch(by)
    hub.requests.clear()
    assert fetch(by, revision=got.revision, sha256=got.sha256) == got
    assert not hub.requests


def test_the_same_file_from_another_place_is_not_downloaded_again(
    by: Fetcher, hub: Hub, folder: Path
) -> None:
    fetch(by)
    hub.add("other/name", "copy.gguf", CONTENT)
    hub.sent = 0
    assert fetch(by, "hf://other/name/copy.gguf").sha256 == SHA256
    assert hub.sent == 0
    assert len(blobs(folder)) == 1


def test_a_blob_that_lost_its_record_is_hashed_instead_of_downloaded(
    by: Fetcher, hub: Hub, folder: Path
) -> None:
    fetch(by)
    shutil.rmtree(folder / "state")
    hub.sent = 0
    fetch(by)
    assert hub.sent == 0
    assert by.store.has(SHA256)


def test_a_corrupt_blob_is_replaced(by: Fetcher, folder: Path) -> None:
    fetch(by)
    blob = by.store.blob_path(SHA256)
    blob.chmod(0o644)
    blob.write_bytes(b"rotten")
    assert fetch(by).sha256 == SHA256
    assert blob.read_bytes() == CONTENT


def test_a_broken_off_download_goes_on_where_it_stopped(by: Fetcher, hub: Hub) -> None:
    interrupted(by, hub, after=400_000)
    assert fetch(by).sha256 == SHA256
    assert 0 < hub.sent <= len(CONTENT) - 400_000


def test_a_download_that_only_lacks_its_name_needs_no_network(by: Fetcher, hub: Hub) -> None:
    """As after a power cut between the last byte and the commit."""
    interrupted(by, hub, after=len(CONTENT))
    got = fetch(by)
    assert got.sha256 == SHA256
    assert hub.sent == 0


def test_what_rotted_in_a_broken_off_download_is_noticed_and_fetched_again(
    by: Fetcher, hub: Hub, folder: Path
) -> None:
    interrupted(by, hub, after=400_000)
    (partial,) = folder.glob("partial/*.part")
    with partial.open("r+b") as file:
        file.seek(10_000)
        file.write(b"rotten")
    assert fetch(by).sha256 == SHA256
    assert hub.sent > len(CONTENT)


@pytest.mark.parametrize(
    "sidecar",
    [
        "",
        "{",
        "[]",
        '{"format_version": 9, "size": 1, "etag": null, "finished": [[0, 1]]}',
        '{"format_version": 1, "size": 1000000, "etag": null, "finished": [[-5, 99]]}',
        '{"format_version": 1, "size": 1000000, "etag": null, "finished": [[0, 99999999999]]}',
        '{"format_version": 1, "size": 1000000, "etag": null, "finished": [["x", []]]}',
    ],
)
def test_a_senseless_note_beside_a_broken_off_download_means_starting_over(
    by: Fetcher, hub: Hub, folder: Path, sidecar: str
) -> None:
    interrupted(by, hub, after=400_000)
    (note,) = folder.glob("partial/*.json")
    note.write_text(sidecar)
    assert fetch(by).sha256 == SHA256
    assert hub.sent == len(CONTENT)


def test_a_file_that_changed_on_the_server_is_started_over(by: Fetcher, hub: Hub) -> None:
    other = some_bytes(len(CONTENT), seed=5)
    url = f"{hub.endpoint}/{REPO}/resolve/main/{FILE}"
    interrupted_url(by, hub, url)
    hub.add(REPO, FILE, other)
    assert fetch(by, url).sha256 == sha256_of(other)


def interrupted_url(by: Fetcher, hub: Hub, url: str) -> None:
    def stop(done: int, _total: int) -> None:
        if done >= 300_000:
            raise KeyboardInterrupt

    hub.intercept = hostile.slow(1_000_000)
    with pytest.raises(KeyboardInterrupt):
        fetch(replace(by, progress=stop), url)
    hub.intercept = None


def test_an_unknown_hash_is_found_out_from_what_arrives(by: Fetcher, hub: Hub) -> None:
    got = fetch(by, f"{hub.endpoint}/{REPO}/resolve/main/{FILE}")
    assert (got.sha256, got.revision) == (SHA256, None)


def test_what_arrives_must_be_a_gguf(by: Fetcher, hub: Hub, folder: Path) -> None:
    hub.add(REPO, "page.gguf", b"<!DOCTYPE html><title>Log in</title>", lfs=False)
    with pytest.raises(IntegrityError, match="is not a GGUF file"):
        fetch(by, f"hf://{REPO}/page.gguf")
    assert not blobs(folder)
    assert not list(folder.glob("partial/*"))


def test_a_wrong_hash_leaves_nothing_behind_but_what_was_there(by: Fetcher, hub: Hub, folder: Path) -> None:
    fetch(by)
    with pytest.raises(IntegrityError, match="it was thrown away"):
        fetch(by, f"{hub.endpoint}/{REPO}/resolve/main/{FILE}", sha256=sha256_of(b"something else"))
    assert blobs(folder) == {f"sha256-{SHA256}"}
    assert not list(folder.glob("partial/*"))


def test_a_web_server_says_no(by: Fetcher, hub: Hub) -> None:
    with pytest.raises(SourceError, match="the server answered 404") as caught:
        fetch(by, f"{hub.endpoint}/nothing.gguf")
    assert caught.value.hint == "open the address in a browser"


def test_progress_tells_how_much_is_there_of_how_much(by: Fetcher) -> None:
    told: list[tuple[int, int]] = []
    fetch(replace(by, progress=lambda done, total: told.append((done, total))))
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_second_fetch_of_the_same_file_waits_for_the_first(by: Fetcher, hub: Hub) -> None:
    hub.intercept = hostile.slow(500_000)
    waiting = threading.Event()
    ends: list[str] = []

    def second() -> None:
        ends.append(fetch(replace(by, on_wait=waiting.set)).sha256)

    thread = threading.Thread(target=second)

    def begin_second(_done: int, _total: int) -> None:
        if not thread.ident:
            thread.start()

    fetch(replace(by, progress=begin_second))
    thread.join()
    assert waiting.is_set()
    assert ends == [SHA256]
    assert hub.sent == len(CONTENT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.gguf"
    path.write_bytes(CONTENT)
    return path


def test_a_file_of_the_users_is_copied_so_that_writing_to_it_reaches_nothing(by: Fetcher, file: Path) -> None:
    assert fetch(by, f"file://{file}").sha256 == SHA256
    file.write_bytes(b"overwritten")
    assert by.store.has(SHA256)
    assert by.store.blob_path(SHA256).read_bytes() == CONTENT


def test_without_copy_file_range_a_file_is_copied_as_well(
    by: Fetcher, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range")
    assert fetch(by, f"file://{file}").sha256 == SHA256


def test_a_link_of_the_users_is_followed(by: Fetcher, file: Path) -> None:
    link = file.with_name("link.gguf")
    link.symlink_to(file)
    assert fetch(by, f"file://{link}").sha256 == SHA256


def test_what_is_no_plain_file_is_refused(by: Fetcher, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    for name, reason in (
        ("pipe", "not a plain file"),
        ("store", "not a plain file"),
        ("empty", "is empty"),
        ("nothing", "No such file"),
    ):
        (tmp_path / "store").mkdir(exist_ok=True)
        with pytest.raises(SourceError, match=reason) as caught:
            fetch(by, f"file://{tmp_path / name}")
        assert caught.value.hint


def test_a_file_that_is_written_to_meanwhile_is_refused(by: Fetcher, file: Path, folder: Path) -> None:
    def write(_done: int, _total: int) -> None:
        with file.open("ab") as still_downloading:
            still_downloading.write(b"more")

    with pytest.raises(SourceError, match="was written to while it was copied"):
        fetch(replace(by, progress=write), f"file://{file}")
    assert not blobs(folder)


def test_a_connection_that_fails_leaves_its_part_to_the_others(by: Fetcher, hub: Hub) -> None:
    """As a server that allows few connections: three of four are always refused."""
    lock = threading.Lock()
    holder: list[int] = []

    @hostile.for_bytes
    def one_connection_only(handler: Handler, _stored: Stored) -> bool:
        with lock:
            if not holder:
                holder.append(handler.client_address[1])
        if handler.client_address[1] == holder[0]:
            return False
        handler.answer(429)
        return True

    hub.intercept = one_connection_only
    assert fetch(by).sha256 == SHA256


def test_bytes_that_cannot_be_made_safe_are_not_trusted_again(
    by: Fetcher, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fsync may have dropped pages: a second fsync that succeeds would prove nothing."""
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls.append(descriptor)
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="cannot be made safe on disk"):
        fetch(by)
    monkeypatch.undo()
    assert len(calls) == 1
    assert not list(folder.glob("partial/*"))
    assert not blobs(folder)
    assert fetch(by).sha256 == SHA256


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_blobs_can_be_read_by_the_units_user_under_any_umask(by: Fetcher, umask: None) -> None:
    fetch(by)
    assert by.store.blob_path(SHA256).stat().st_mode & 0o777 == 0o444
