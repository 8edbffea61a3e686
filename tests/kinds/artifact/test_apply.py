"""Operations on a real store: pulled, linked, looked at, verified."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.errors import FormatError, IntegrityError, ModelctlError, SourceError
from reconciler.core.operations import Operation
from reconciler.demo.tiny_model import tiny_model
from reconciler.host.artifacts.fetch import Fetcher
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.store import Store
from reconciler.kinds.artifact.apply import ArtifactApplier
from reconciler.kinds.artifact.layout import WantedVersion, wanted_version
from reconciler.kinds.artifact.observe import observe, stored_bytes
from reconciler.kinds.artifact.plan import plan_artifacts
from reconciler.kinds.artifact.pull import Watching, edits, pull
from reconciler.kinds.artifact.verify import targets, verify
from reconciler.spec.edit import SetVersionFields
from reconciler.spec.model import Model
from tests.support.artifacts import sha256_of

GOOD = tiny_model("good")
OTHER = tiny_model("other")

Want = Callable[..., WantedVersion]


@pytest.fixture
def by(tmp_path: Path) -> Fetcher:
    return Fetcher(Store(tmp_path / "store"), network_from({"HF_HUB_OFFLINE": "1"}))


@pytest.fixture
def want(tmp_path: Path) -> Want:
    """A model whose file holds `content`; `hashed` says whether the spec has its hash."""

    def make(name: str, content: bytes = GOOD, *, hashed: bool = True, **fields: object) -> WantedVersion:
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(content)
        entry = {"version_id": "v1", "gguf_url": f"file://{path}", **fields}
        entry |= {"sha256": sha256_of(content)} if hashed else {}
        model = Model.model_validate(
            {"id": name, "current_version": "v1", "versions": [entry], "profiles": {"cpu_only": {}}}
        )
        return wanted_version(model, model.current)

    return make


def carry_out(by: Fetcher, *wanted: WantedVersion) -> dict[str, Exception | None]:
    """Plan and do; the outcome by operation. What depends on a failure is left out."""
    ended: dict[str, Exception | None] = {}

    def report(operation: Operation, error: Exception | None) -> None:
        ended[operation.id] = error

    handlers = ArtifactApplier(by).handlers()
    for operation in plan_artifacts(wanted, observe(by.store, wanted)).operations:
        if not any(ended.get(needed) for needed in operation.depends_on):
            handlers[operation.kind, operation.verb]([operation], report)
    return ended


def no_watch(_: object) -> Watching:
    return Watching(lambda _done, _total: None, lambda: None)


def test_a_second_look_after_applying_finds_nothing_to_do(by: Fetcher, want: Want) -> None:
    wanted = [want("one"), want("two", OTHER), want("three")]
    ended = carry_out(by, *wanted)
    assert len(ended) == 5
    assert not any(ended.values())
    assert plan_artifacts(wanted, observe(by.store, wanted)).operations == ()
    assert stored_bytes(by.store, wanted) == {"one": len(GOOD), "two": len(OTHER), "three": len(GOOD)}


def test_one_bad_file_does_not_hold_up_the_others(by: Fetcher, want: Want, tmp_path: Path) -> None:
    wanted = [want("gone"), want("good", OTHER)]
    (tmp_path / "gone.gguf").unlink()
    ended = carry_out(by, *wanted)
    assert isinstance(ended["artifact:pull:gone@v1/model.gguf"], SourceError)
    assert ended["artifact:link:good@v1"] is None
    assert stored_bytes(by.store, wanted) == {"good": len(OTHER)}


@pytest.mark.parametrize("cut", [5, 24, 100, len(GOOD) // 2, len(GOOD) - 1])
def test_a_gguf_that_is_cut_short_is_never_put_in_place(by: Fetcher, want: Want, cut: int) -> None:
    wanted = want("cut", GOOD[:cut])
    ended = carry_out(by, wanted)
    assert isinstance(ended["artifact:link:cut@v1"], FormatError)
    assert not by.store.version_path(wanted.model, wanted.version).exists()


def test_what_was_in_place_stays_when_its_successor_is_broken(by: Fetcher, want: Want) -> None:
    before = want("m")
    carry_out(by, before)
    ended = carry_out(by, want("m", GOOD[:-100]))
    assert isinstance(ended["artifact:link:m@v1"], FormatError)
    assert stored_bytes(by.store, [before]) == {"m": len(GOOD)}


def test_pulling_finds_out_what_the_spec_does_not_say(by: Fetcher, want: Want, tmp_path: Path) -> None:
    (tmp_path / "lora.gguf").write_bytes(OTHER)
    before = want("m", hashed=False, loras=[{"url": f"file://{tmp_path}/lora.gguf"}])
    after = pull(by, before, no_watch)
    assert [file.sha256 for file in after.files] == [sha256_of(GOOD), sha256_of(OTHER)]
    assert edits(before, after) == (
        SetVersionFields(before.model, before.version, sha256=sha256_of(GOOD)),
        SetVersionFields(before.model, before.version, sha256=sha256_of(OTHER), companion=("loras", 0)),
    )
    assert edits(after, pull(by, after, no_watch)) == ()


def test_a_broken_file_teaches_the_spec_nothing(by: Fetcher, want: Want) -> None:
    with pytest.raises(FormatError):
        pull(by, want("m", GOOD[:-100], hashed=False), no_watch)


def test_shards_get_one_revision_and_a_list_of_hashes(by: Fetcher, want: Want) -> None:
    one = want("m", hashed=False)
    before = replace(one, files=(one.files[0], replace(one.files[0], name="model-00002-of-00002.gguf")))
    after = replace(
        before,
        files=tuple(
            replace(file, revision="0" * 40, sha256=sha256_of(content))
            for file, content in zip(before.files, (GOOD, OTHER), strict=True)
        ),
    )
    assert edits(before, after) == (
        SetVersionFields(
            one.model, one.version, revision="0" * 40, sha256=(sha256_of(GOOD), sha256_of(OTHER))
        ),
    )


def test_verifying_names_what_is_corrupt_and_a_pull_mends_it(by: Fetcher, want: Want) -> None:
    wanted = [want("one"), want("two", OTHER)]
    carry_out(by, *wanted)
    blob = by.store.blob_path(sha256_of(GOOD))
    blob.chmod(0o644)
    blob.write_bytes(GOOD[:-1] + b"!")
    hashed: list[int] = []
    files = targets(by.store, wanted, named=False, others=True)
    findings = list(verify(by.store, files, hashed.append))
    assert [finding.fault is None for finding in findings] == [False, True]
    assert findings[0].target.version == wanted[0]
    assert sum(hashed) == len(GOOD) + len(OTHER)
    pull(by, wanted[0], no_watch)
    files = targets(by.store, wanted, named=False, others=True)
    assert not any(finding.fault for finding in verify(by.store, files, hashed.append))


def test_verifying_names_what_is_missing_of_a_version(by: Fetcher, want: Want) -> None:
    one, never_pulled = want("one"), want("two", OTHER)
    carry_out(by, one)
    (by.store.version_path(one.model, one.version) / "model.gguf").unlink()

    def faults(*, named: bool) -> list[str]:
        files = targets(by.store, [one, never_pulled], named=named, others=False)
        return [f"{f.target.version} {f.fault}" for f in verify(by.store, files, lambda _: None) if f.fault]

    assert faults(named=False) == ["one@v1 is missing"]
    assert faults(named=True) == ["one@v1 is missing", "two@v1 is missing"]


def test_a_blob_that_nobody_wants_is_verified_as_well(by: Fetcher, want: Want) -> None:
    carry_out(by, want("one"))
    by.store.blob_path(sha256_of(GOOD)).unlink()
    stray = by.store.blob_path(sha256_of(b"what it should be"))
    stray.write_bytes(b"what it is")
    (finding,) = verify(by.store, targets(by.store, [], named=False, others=True), lambda _: None)
    assert finding.target.version is None
    assert finding.fault == "its bytes are not what its hash says"


def test_linking_what_is_not_there_says_what_to_do(by: Fetcher, want: Want) -> None:
    wanted = want("m")
    carry_out(by, wanted)
    store = by.store
    store.blob_path(sha256_of(GOOD)).unlink()
    with pytest.raises(ModelctlError) as caught:
        store.link(wanted.model, wanted.version, {"model.gguf": sha256_of(GOOD)}, {})
    assert isinstance(caught.value, IntegrityError)
    assert caught.value.hint == "run `modelctl pull` to fetch it again"
