"""A local Ollama store is read with suspicion: what is damaged or hostile is named and passed over."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.core.errors import IntegrityError, SourceError
from reconciler.core.ollama import parse_name
from reconciler.core.types import Sha256
from reconciler.host.artifacts.fetch import Fetcher, Wanted
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.sources import parse_source
from reconciler.host.artifacts.store import Store
from reconciler.host.ollama_store import default_stores, read_store
from tests.support.ollama import FakeOllama

GGUF = b"GGUF" + bytes(1000)
OTHER = b"GGUF" + bytes(range(200))


@pytest.fixture
def ollama(tmp_path: Path) -> FakeOllama:
    store = FakeOllama(tmp_path / "ollama")
    store.add("good", ("model", GGUF), ("system", "Grüße.".encode()), ("params", b'{"num_ctx": 8192}'))
    return store


def sha(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


def refusals(store: FakeOllama) -> dict[str, str]:
    models, refused = read_store(store.root)
    assert [str(model.name) for model in models] == ["good:latest"]
    return {one.name: one.why for one in refused}


def test_names_layers_and_times_are_read(ollama: FakeOllama) -> None:
    ollama.add("hf.co/org/repo", ("model", OTHER), ("projector", GGUF), tag="Q4_K_M", modified=1_700_000_000)
    ollama.add("me/mine", ("model", GGUF), ("adapter", OTHER), ("license", b"MIT"))
    models, refused = read_store(ollama.root)
    assert not refused
    by_name = {str(model.name): model for model in models}
    assert set(by_name) == {"good:latest", "hf.co/org/repo:Q4_K_M", "me/mine:latest"}
    assert by_name["good:latest"].system == "Grüße."
    assert by_name["good:latest"].parameters == {"num_ctx": 8192}
    assert by_name["hf.co/org/repo:Q4_K_M"].modified == 1_700_000_000
    assert list(by_name["hf.co/org/repo:Q4_K_M"].manifest.files()) == ["", "projector"]
    assert by_name["me/mine:latest"].manifest.adapters[0].sha256 == sha(OTHER)


def _layer(digest: str, size: int = len(GGUF), kind: str = "model") -> list[dict[str, object]]:
    return [{"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": size}]


def _text(content: str) -> Callable[[FakeOllama], None]:
    def spoil(store: FakeOllama) -> None:
        store.add("bad", ("model", GGUF)).write_text(content)

    return spoil


def _layers(layers: list[dict[str, object]]) -> Callable[[FakeOllama], None]:
    return lambda store: store.add_manifest("bad", layers) and None


def _partial(store: FakeOllama) -> None:
    store.add("bad", ("model", OTHER))
    blob = store.blob_path(sha(OTHER))
    blob.rename(blob.with_name(f"{blob.name}-partial"))


def _short(store: FakeOllama) -> None:
    store.add("bad", ("model", OTHER))
    os.truncate(store.blob_path(sha(OTHER)), 50)


def _linked_manifest(store: FakeOllama) -> None:
    path = store.manifest_path("bad")
    path.parent.mkdir()
    path.symlink_to(store.manifest_path("good"))


def _linked_blob(store: FakeOllama) -> None:
    store.add("bad", ("model", OTHER))
    blob = store.blob_path(sha(OTHER))
    blob.unlink()
    blob.symlink_to("/etc/passwd")


def _damaged_text(store: FakeOllama) -> None:
    store.add("bad", ("model", GGUF), ("system", b"You are good."))
    store.blob_path(sha(b"You are good.")).write_bytes(b"You are evil.")


TRAVERSAL = "sha256:../../../../../../../etc/passwd"
BAD: dict[str, tuple[Callable[[FakeOllama], None], str]] = {
    "empty": (_text(""), "its manifest is empty"),
    "truncated": (_text('{"schemaVersion": 2, "layers": [{"media'), "damaged or not complete"),
    "no object": (_text("[]"), "damaged or not complete"),
    "deep": (_text("[" * 100_000), "damaged or not complete"),
    "schema": (_text('{"schemaVersion": 3, "layers": []}'), "schema version 3"),
    "remote": (_layers([]), "runs on another machine"),
    "traversal": (_layers(_layer(TRAVERSAL)), "is no sha256 digest"),
    "short digest": (_layers(_layer("sha256:abc")), "is no sha256 digest"),
    "odd size": (_layers(_layer(f"sha256:{sha(GGUF)}", -1)), "is no sha256 digest"),
    "tensors": (_layers(_layer(f"sha256:{sha(GGUF)}", kind="tensor")), "safetensors"),
    "unknown": (_layers(_layer(f"sha256:{sha(GGUF)}", kind="program")), "unknown kind"),
    "two models": (_layers(2 * _layer(f"sha256:{sha(GGUF)}")), "split over several"),
    "partial": (_partial, "interrupted"),
    "short": (_short, "has 50 bytes instead of"),
    "no gguf": (lambda store: store.add("bad", ("model", b"{}abc")) and None, "is no GGUF"),
    "linked manifest": (_linked_manifest, "symbolic link"),
    "linked blob": (_linked_blob, "symbolic link"),
    "damaged text": (_damaged_text, "is damaged"),
    "odd params": (
        lambda store: store.add("bad", ("model", GGUF), ("params", b"[1]")) and None,
        "no JSON object",
    ),
    "odd messages": (
        lambda store: store.add("bad", ("model", GGUF), ("messages", b"[1]")) and None,
        "no list",
    ),
    "no utf-8": (lambda store: store.add("bad", ("model", GGUF), ("system", b"\xff")) and None, "UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused_is_named_and_the_rest_goes_on(ollama: FakeOllama, case: str) -> None:
    spoil, why = BAD[case]
    spoil(ollama)
    ((name, reason),) = refusals(ollama).items()
    assert "bad" in name
    assert why in reason


def test_stray_files_and_folders_are_named(ollama: FakeOllama) -> None:
    (ollama.root / "manifests/stray").write_text("{}")
    (ollama.manifest_path("good").parent / "deeper").mkdir()
    (ollama.root / "manifests/.DS_Store").write_text("")
    assert len(refusals(ollama)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_strangers_are_refused(ollama: FakeOllama) -> None:
    path = ollama.add("bad", ("model", OTHER))
    os.chown(path, 12345, 12345)
    assert "belongs to user 12345" in refusals(ollama)["bad:latest"]
    os.chown(path, 0, 0)
    os.chown(ollama.blob_path(sha(OTHER)), 12345, 12345)
    assert "belongs to user 12345" in refusals(ollama)["bad:latest"]


def test_a_store_that_is_not_there_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_store(tmp_path / "nothing")
    assert "OLLAMA_MODELS" in (caught.value.hint or "")


def test_the_variable_names_the_only_store() -> None:
    assert default_stores({"OLLAMA_MODELS": "/a", "HOME": "/root"}) == (Path("/a"),)
    assert Path("/root/.ollama/models") in default_stores({"HOME": "/root"})


@pytest.mark.parametrize("name", ["", "../a", "a/../b", "a/b/c/d", "a:b:c", "a b", ".a", "a:", "-a", "x/.."])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(SourceError):
        parse_name(name)


def fetcher(tmp_path: Path, ollama: FakeOllama) -> Fetcher:
    return Fetcher(Store(tmp_path / "store"), network_from({}), ollama_stores=(ollama.root,))


def fetch(by: Fetcher, url: str, expected: Sha256 | None = None) -> Sha256:
    return by.fetch(Wanted(parse_source(url), None, expected)).sha256


def test_a_model_is_adopted_without_a_second_copy(tmp_path: Path, ollama: FakeOllama) -> None:
    by = fetcher(tmp_path, ollama)
    assert fetch(by, "ollama://good") == sha(GGUF)
    ours = by.store.blob_path(sha(GGUF))
    assert ours.samefile(ollama.blob_path(sha(GGUF)))
    assert by.store.has(sha(GGUF))
    assert not list(by.store.partials.iterdir())
    ollama.blob_path(sha(GGUF)).unlink()
    assert ours.read_bytes() == GGUF
    assert fetch(by, "ollama://good", sha(GGUF)) == sha(GGUF)


def test_where_links_cannot_be_made_it_is_copied(
    tmp_path: Path, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    by = fetcher(tmp_path, ollama)
    assert fetch(by, "ollama://good:latest") == sha(GGUF)
    assert by.store.blob_path(sha(GGUF)).stat().st_nlink == 1
    assert ollama.blob_path(sha(GGUF)).read_bytes() == GGUF


def test_bytes_that_are_not_the_promised_ones_are_not_taken(tmp_path: Path, ollama: FakeOllama) -> None:
    ollama.blob_path(sha(GGUF)).write_bytes(b"GGUF" + bytes(999) + b"!")
    by = fetcher(tmp_path, ollama)
    with pytest.raises(IntegrityError):
        fetch(by, "ollama://good")
    assert not by.store.has(sha(GGUF))
    assert not list(by.store.blobs.glob("*"))
    assert len(ollama.blob_path(sha(GGUF)).read_bytes()) == 1004


def test_a_companion_is_named_by_its_layer(tmp_path: Path, ollama: FakeOllama) -> None:
    ollama.add("sees", ("model", GGUF), ("projector", OTHER))
    by = fetcher(tmp_path, ollama)
    assert fetch(by, "ollama://sees#projector") == sha(OTHER)
    with pytest.raises(SourceError, match="has no layer `adapter`"):
        fetch(by, "ollama://sees#adapter")


def test_a_tag_that_moved_on_still_gives_the_bytes_that_the_spec_names(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    ollama.add("good", ("model", OTHER))
    by = fetcher(tmp_path, ollama)
    assert fetch(by, "ollama://good", sha(GGUF)) == sha(GGUF)
    assert fetch(by, "ollama://good") == sha(OTHER)


def test_a_model_that_ollama_does_not_have_is_named(tmp_path: Path, ollama: FakeOllama) -> None:
    with pytest.raises(SourceError, match="ollama://gone:7b cannot be adopted"):
        fetch(fetcher(tmp_path, ollama), "ollama://gone:7b")


def test_a_manifest_is_read_as_ollama_writes_it(ollama: FakeOllama) -> None:
    document = json.loads(ollama.manifest_path("good").read_text())
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
