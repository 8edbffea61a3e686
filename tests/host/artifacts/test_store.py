"""The store: what has a final name is whole, once on disk, and reached without following links."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from reconciler.core.errors import IntegrityError, StoreError
from reconciler.core.types import ModelId, Sha256, VersionId
from reconciler.host.artifacts import exchange as exchanges
from reconciler.host.artifacts import store as stores
from reconciler.host.artifacts.fetch import Fetcher
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.store import Store
from tests.support.artifacts import fetch, sha256_of, some_bytes

ONE, TWO = some_bytes(5000, seed=1), some_bytes(6000, seed=2)
MODEL, VERSION = ModelId("model"), VersionId("v1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, content: bytes) -> Sha256:
    """Take a file of the user's into the store."""
    store.root.mkdir(exist_ok=True)
    file = store.root.with_name("file.gguf")
    file.write_bytes(content)
    return fetch(Fetcher(store, network_from({"HF_HUB_OFFLINE": "1"})), f"file://{file}").sha256


def names(store: Store) -> set[str]:
    return {path.name for path in store.version_path(MODEL, VERSION).iterdir()}


def test_a_version_is_a_folder_of_links_with_its_hashes(store: Store) -> None:
    one, two = put(store, ONE), put(store, TWO)
    store.link(MODEL, VERSION, {"model.gguf": one, "mmproj.gguf": two}, {"note": "é"})
    folder = store.version_path(MODEL, VERSION)
    assert folder == store.root / "models" / "model" / "v1"
    assert (folder / "model.gguf").samefile(store.blob_path(one))
    assert json.loads((folder / "metadata.json").read_text()) == {"note": "é"}
    subprocess.run(["sha256sum", "--check", "--quiet", "sha256sum"], cwd=folder, check=True)
    view = store.look()
    assert view.linked(MODEL, VERSION, "model.gguf") == one
    assert view.linked(MODEL, VERSION, "mmproj.gguf") == two
    assert view.linked(MODEL, VERSION, "draft.gguf") is None
    assert view.size(MODEL, VERSION, "model.gguf") == len(ONE)


def test_one_file_is_stored_once_however_many_versions_name_it(store: Store) -> None:
    one = put(store, ONE)
    for number in range(5):
        store.link(MODEL, VersionId(f"v{number}"), {"model.gguf": one}, {})
    assert store.blob_path(one).stat().st_nlink == 6


def test_linking_again_replaces_the_whole_set(store: Store) -> None:
    one, two = put(store, ONE), put(store, TWO)
    store.link(MODEL, VERSION, {"model.gguf": one, "lora-1.gguf": two}, {})
    store.link(MODEL, VERSION, {"model.gguf": two}, {})
    assert names(store) == {"model.gguf", "metadata.json", "sha256sum"}
    assert store.look().linked(MODEL, VERSION, "model.gguf") == two
    assert [path.name for path in store.version_path(MODEL, VERSION).parent.iterdir()] == ["v1"]


def test_a_system_that_cannot_exchange_folders_still_replaces_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = put(store, ONE), put(store, TWO)
    monkeypatch.setattr(stores, "exchange", lambda *_: False)
    for sha256 in (one, two):
        store.link(MODEL, VERSION, {"model.gguf": sha256}, {})
        assert store.look().linked(MODEL, VERSION, "model.gguf") == sha256
    assert [path.name for path in store.version_path(MODEL, VERSION).parent.iterdir()] == ["v1"]


def test_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.mkdir()
        (path / path.name).touch()
    assert exchanges.exchange(one, two)
    assert [path.name for path in one.iterdir()] == ["two"]
    with pytest.raises(FileNotFoundError):
        exchanges.exchange(one, tmp_path / "three")


def test_a_file_system_without_hard_links_gets_verified_copies(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(stores.errno.EPERM, "no hard links here")

    one = put(store, ONE)
    monkeypatch.setattr(os, "link", refuse)
    store.link(MODEL, VERSION, {"model.gguf": one}, {})
    copy = store.version_path(MODEL, VERSION) / "model.gguf"
    assert not copy.samefile(store.blob_path(one))
    assert store.look().linked(MODEL, VERSION, "model.gguf") == one


def test_what_was_verified_is_trusted_until_it_is_touched(store: Store) -> None:
    one = put(store, ONE)
    assert store.has(one)
    blob = store.blob_path(one)
    blob.chmod(0o644)
    os.utime(blob, ns=(0, 0))
    assert not store.has(one)
    with pytest.raises(IntegrityError, match="was changed since it was verified"):
        store.link(MODEL, VERSION, {"model.gguf": one}, {})
    assert store.rehash(blob, one)
    assert store.has(one)


def test_a_blob_that_rots_is_found_and_loses_its_trust(store: Store) -> None:
    one = put(store, ONE)
    blob, before = store.blob_path(one), store.blob_path(one).stat()
    blob.chmod(0o644)
    blob.write_bytes(ONE[:-1] + b"!")
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.has(one), "nothing but its bytes changed: only hashing can tell"
    assert not store.rehash(blob, one)
    assert not store.has(one)


def test_blobs_cannot_be_written_to_by_accident(store: Store) -> None:
    assert store.blob_path(put(store, ONE)).stat().st_mode & 0o222 == 0


def test_looking_makes_nothing(store: Store) -> None:
    view = store.look()
    assert not view.has(sha256_of(ONE))
    assert view.linked(MODEL, VERSION, "model.gguf") is None
    assert store.blob_names() == ()
    assert not store.root.exists()


@pytest.mark.parametrize("name", ["blobs", "models", "state", "partial"])
def test_a_symbolic_link_in_place_of_a_folder_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    one = put(store, ONE)
    store.link(MODEL, VERSION, {"model.gguf": one}, {})
    outside = tmp_path / "outside"
    (store.root / name).rename(outside)
    (store.root / name).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(StoreError, match="is a symbolic link, which does not belong into the store"):
        store.link(MODEL, VersionId("v2"), {"model.gguf": put(store, TWO)}, {})
    assert sorted(outside.rglob("*")) == before


def test_a_symbolic_link_in_place_of_a_blob_or_a_partial_file_is_not_followed(
    store: Store, tmp_path: Path
) -> None:
    one = put(store, ONE)
    blob = store.blob_path(one)
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    assert not store.has(one)
    with pytest.raises(OSError, match="symbolic"):
        store.rehash(blob, one)
    (store.partials / "key.part").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError, match="symbolic"), store.partial("key", lambda: None):
        pass
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("bad", ["../../etc", "a/b", "", ".hidden", "x" * 81, "a\nb"])
def test_no_name_leads_out_of_the_store(store: Store, bad: str) -> None:
    """CVE-2024-37032: a digest that is a path wrote anywhere."""
    one = put(store, ONE)
    with pytest.raises(StoreError):
        store.blob_path(Sha256(bad))
    with pytest.raises(StoreError):
        store.version_path(ModelId(bad), VERSION)
    with pytest.raises(StoreError):
        store.version_path(MODEL, VersionId(bad))
    with pytest.raises(StoreError):
        store.link(MODEL, VERSION, {bad: one}, {})


def test_a_file_in_place_of_a_version_is_refused_and_kept(store: Store) -> None:
    one = put(store, ONE)
    path = store.version_path(MODEL, VERSION)
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(StoreError, match="is no folder"):
        store.link(MODEL, VERSION, {"model.gguf": one}, {})
    assert path.read_text() == "precious"


def test_leftovers_of_a_crash_are_cleared_away(store: Store) -> None:
    one = put(store, ONE)
    for leftover in (".v1.new", ".v1.old"):
        (store.version_path(MODEL, VERSION).parent / leftover).mkdir(parents=True)
    store.link(MODEL, VERSION, {"model.gguf": one}, {})
    assert [path.name for path in store.version_path(MODEL, VERSION).parent.iterdir()] == ["v1"]


def test_ten_thousand_versions_are_looked_through_in_no_time(store: Store) -> None:
    """A bound with much room: the figure itself is measured in benchmarks/."""
    one = put(store, ONE)
    count = 10_000
    for number in range(count):
        folder = store.version_path(ModelId(f"m{number}"), VERSION)
        folder.mkdir(parents=True)
        os.link(store.blob_path(one), folder / "model.gguf")
    began = time.perf_counter()
    view = store.look()
    assert all(view.linked(ModelId(f"m{number}"), VERSION, "model.gguf") == one for number in range(count))
    assert time.perf_counter() - began < 2.0
