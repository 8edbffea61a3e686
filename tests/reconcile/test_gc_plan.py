"""What refers to a version keeps it; what nothing refers to goes, counted by bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import Refused
from reconciler.core.holdings import HeldBlob, HeldFile, HeldVersion, Holdings, Leftover
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import Bytes, ModelId, ProfileName, Sha256, UnitName, VersionId
from reconciler.reconcile.gc_plan import GRACE_SECONDS, Collection, collect, references
from reconciler.spec.load import load
from reconciler.spec.model import Spec

DAY = GRACE_SECONDS


def sha(content: str) -> Sha256:
    return Sha256(content.encode().hex().rjust(64, "0"))


def spec(current: str = "v3", *, pin: str | None = None, **versions: str) -> Spec:
    """One model `a`, with the content of each of its versions in the order of the list."""
    listed = "".join(
        f"      - {{version_id: {version}, gguf_url: 'file:///{version}.gguf', sha256: '{sha(content)}'}}\n"
        for version, content in versions.items()
    )
    pins = f"pins: {{a: {pin}}}\n" if pin else ""
    return load(
        {
            "s.yaml": f"models:\n  - id: a\n    current_version: {current}\n    versions:\n{listed}"
            f"    profiles: {{cpu_only: {{}}}}\n{pins}"
        }
    )


def unit(version: str, model: str = "a") -> OwnedUnit:
    return OwnedUnit(
        UnitName(f"llama@{model}-cpu_only"),
        ModelId(model),
        VersionId(version),
        ProfileName("cpu_only"),
        endpoint="",
        config_hash="",
        text="",
        started_hash=None,
        ready_hash=None,
        generation=1,
    )


@dataclass
class Disk:
    """A store: the content of each version; every content is one file of 100 bytes with a blob."""

    versions: Mapping[tuple[str, str], str]
    orphans: Mapping[str, float] = field(default_factory=dict)
    """Contents of blobs that no version has, with their age in seconds."""
    elsewhere: frozenset[str] = frozenset()
    """Contents that have one more name outside of the store."""

    def holdings(self) -> Holdings:
        contents = sorted({*self.versions.values(), *self.orphans})
        inodes = {content: number for number, content in enumerate(contents, start=1)}

        def file(path: str, content: str) -> HeldFile:
            links = 1 + list(self.versions.values()).count(content) + (content in self.elsewhere)
            return HeldFile(path, 1, inodes[content], links, Bytes(100), self.orphans.get(content, 0.0))

        return Holdings(
            versions=tuple(
                HeldVersion(
                    ModelId(model),
                    VersionId(version),
                    f"models/{model}/{version}",
                    (file(f"models/{model}/{version}/model.gguf", content),),
                )
                for (model, version), content in self.versions.items()
            ),
            blobs=tuple(HeldBlob(sha(c), file(f"blobs/sha256-{sha(c)}", c)) for c in contents),
            partials=(),
            leftovers=(),
        )


def gc(
    disk: Disk,
    *specs: Spec,
    keep: int = 1,
    units: Sequence[tuple[OwnedUnit, str]] = (),
    in_use: Mapping[str, int] | None = None,
) -> Collection:
    return collect(disk.holdings(), references(specs, units, keep), in_use or {})


def names(collection: Collection) -> set[str]:
    return {item.name for item in collection.items}


THREE = Disk({("a", "v1"): "one", ("a", "v2"): "two", ("a", "v3"): "three"})
LISTED = {"v1": "one", "v2": "two", "v3": "three"}


def test_older_versions_go_with_their_blobs_though_the_spec_lists_them() -> None:
    found = gc(THREE, spec(**LISTED))
    blobs = {f"sha256-{sha(content)[:12]}" for content in ("one", "two")}
    assert names(found) == {"a@v1", "a@v2", *blobs}
    assert found.size == 200
    assert "can be pulled again" in found.items[0].cause
    assert found.kept == (("a@v3", "the spec serves it"),)


def test_the_most_recent_stay() -> None:
    assert "a@v2" not in names(gc(THREE, spec(**LISTED), keep=2))
    assert gc(THREE, spec(**LISTED), keep=3).items == ()


def test_what_is_served_stays_however_old_and_a_pin_holds() -> None:
    found = gc(THREE, spec("v1", pin="v1", **LISTED))
    assert dict(found.kept) == {"a@v1": "the spec serves it", "a@v3": "the most recent"}


def test_what_a_unit_or_a_kept_generation_has_stays() -> None:
    units = [(unit("v1"), "its unit has it"), (unit("v2"), "generation 7 has it")]
    found = gc(THREE, spec(**LISTED), units=units)
    assert found.items == ()
    assert dict(found.kept)["a@v2"] == "generation 7 has it"


def test_what_a_process_has_open_stays_with_its_blob() -> None:
    found = gc(THREE, spec(**LISTED), in_use={"models/a/v1/model.gguf": 42})
    assert names(found) == {"a@v2", f"sha256-{sha('two')[:12]}"}
    assert dict(found.kept)["a@v1"] == "process 42 has it open"


def test_a_blob_that_two_versions_share_goes_with_the_last() -> None:
    shared = Disk({("a", "v1"): "same", ("a", "v2"): "same", ("a", "v3"): "three"})
    one_stays = gc(shared, spec(v1="same", v2="same", v3="three"), keep=2)
    assert names(one_stays) == {"a@v1"}
    assert one_stays.size == 0
    both_go = gc(shared, spec(v1="same", v2="same", v3="three"))
    assert names(both_go) == {"a@v1", "a@v2", f"sha256-{sha('same')[:12]}"}
    assert both_go.size == 100


def test_what_has_a_name_elsewhere_frees_nothing() -> None:
    outside = Disk(THREE.versions, elsewhere=frozenset({"one", "two"}))
    assert gc(outside, spec(**LISTED)).size == 0


def test_what_the_spec_dropped_goes_and_is_told_apart() -> None:
    found = gc(Disk({("gone", "v1"): "one", ("a", "v3"): "three"}), spec(**LISTED))
    causes = {item.name: item.cause for item in found.items}
    assert causes["gone@v1"] == "the spec does not list it"


def test_the_committed_spec_counts_beside_an_edit_that_is_not() -> None:
    edited, committed = spec("v3", v3="three"), spec("v1", **LISTED)
    assert "a@v1" not in names(gc(THREE, edited, committed))
    assert "a@v1" in names(gc(THREE, edited))


def test_a_pulled_blob_that_is_not_linked_yet_stays() -> None:
    """By the spec's hash where the spec has one, and for a day where it has none yet."""
    disk = Disk({}, orphans={"three": 9 * DAY, "fresh": DAY / 2, "old": 2 * DAY})
    assert names(gc(disk, spec(**LISTED))) == {f"sha256-{sha('old')[:12]}"}


def test_broken_downloads_go_after_a_day() -> None:
    def partial(name: str, age: float) -> HeldFile:
        return HeldFile(f"partial/{name}.part", 1, hash(name), 1, Bytes(10), age)

    left = Leftover("models/a/.v1.new", (partial("left", 0),), 2 * DAY)
    fresh = Leftover("models/a/.v2.new", (), DAY / 2)
    holdings = Holdings((), (), (partial("old", 2 * DAY), partial("new", DAY / 2)), (left, fresh))
    found = collect(holdings, references([spec(**LISTED)], [], 1), {})
    assert [item.path for item in found.items] == ["models/a/.v1.new", "partial/old.part"]


def test_a_spec_without_models_loses_nothing() -> None:
    with pytest.raises(Refused, match="no models at all"):
        gc(THREE, Spec())


versions = st.sampled_from(["v1", "v2", "v3", "v4"])
contents = st.sampled_from(["one", "two", "three"])


@given(
    listed=st.dictionaries(versions, contents, min_size=1),
    stored=st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), versions), contents),
    inventory=st.lists(versions),
    open_files=st.sets(versions),
    keep=st.integers(1, 3),
    data=st.data(),
)
def test_nothing_that_is_referred_to_ever_goes(
    *,
    listed: dict[str, str],
    stored: dict[tuple[str, str], str],
    inventory: list[str],
    open_files: set[str],
    keep: int,
    data: st.DataObject,
) -> None:
    current = data.draw(st.sampled_from(sorted(listed)))
    disk = Disk(stored, orphans={"old": 2 * DAY})
    found = gc(
        disk,
        spec(current, **listed),
        keep=keep,
        units=[(unit(version), "a unit") for version in inventory],
        in_use={f"models/a/{version}/model.gguf": 1 for version in open_files},
    )
    gone = {item.path for item in found.items}
    needed = {("a", v) for v in (current, *inventory, *open_files, *list(listed)[-keep:])} & set(stored)
    for model, version in needed:
        assert f"models/{model}/{version}" not in gone
        assert f"blobs/sha256-{sha(stored[model, version])}" not in gone
    assert {f"models/{m}/{v}" for m, v in stored if (m, v) not in needed} <= gone
    last = {content for content in stored.values() if content not in {stored[key] for key in needed}}
    wanted = {listed[v] for v in listed if v in {current, *inventory, *list(listed)[-keep:]}}
    assert found.size == 100 * len((last | {"old"}) - wanted)
