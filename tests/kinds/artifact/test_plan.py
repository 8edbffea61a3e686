"""What is missing in the store, as a table."""

from reconciler.core.operations import Verb, check_graph
from reconciler.core.types import ModelId, Sha256, VersionId
from reconciler.kinds.artifact.layout import WantedFile, WantedVersion
from reconciler.kinds.artifact.plan import Fetch, Link, SeenStore, is_in_place, link_id, plan_artifacts

A, B = Sha256("a" * 64), Sha256("b" * 64)
REVISION = "0" * 40


def file(name: str = "model.gguf", sha256: Sha256 | None = A, revision: str | None = REVISION) -> WantedFile:
    return WantedFile(name, (), f"hf://org/repo/{name}", revision, sha256)


def version(model: str, *files: WantedFile) -> WantedVersion:
    return WantedVersion(ModelId(model), VersionId("v1"), files or (file(),))


def seen(*blobs: Sha256, **linked: Sha256) -> SeenStore:
    """`m__model` stands for m@v1/model.gguf."""
    keys = {name: name.partition("__") for name in linked}
    return SeenStore(
        frozenset(blobs),
        {(ModelId(k[0]), VersionId("v1"), f"{k[2]}.gguf"): linked[name] for name, k in keys.items()},
    )


def steps(wanted: list[WantedVersion], store: SeenStore) -> list[str]:
    plan = plan_artifacts(wanted, store)
    check_graph(plan.operations)
    return [f"{step.verb} {step.resource} ({step.cause})" for step in plan.operations]


def test_an_empty_store_needs_the_file_and_its_place() -> None:
    assert steps([version("m")], seen()) == [
        "pull m@v1/model.gguf (not in the store; from hf://org/repo/model.gguf)",
        "link m@v1 (not in place)",
    ]


def test_a_version_that_is_in_place_needs_nothing() -> None:
    assert steps([version("m")], seen(m__model=A)) == []
    assert is_in_place(version("m"), seen(m__model=A))


def test_a_blob_that_is_there_needs_its_place_only() -> None:
    assert steps([version("m")], seen(A)) == ["link m@v1 (not in place)"]


def test_another_file_in_its_place_is_replaced() -> None:
    assert steps([version("m")], seen(m__model=B)) == [
        "pull m@v1/model.gguf (not in the store; from hf://org/repo/model.gguf)",
        "link m@v1 (not in place)",
    ]


def test_only_what_is_missing_is_named() -> None:
    wanted = version("m", file(), file("mmproj.gguf", B))
    assert steps([wanted], seen(m__model=A)) == [
        "pull m@v1/mmproj.gguf (not in the store; from hf://org/repo/mmproj.gguf)",
        "link m@v1 (not in place: mmproj.gguf)",
    ]


def test_a_file_that_two_versions_want_is_pulled_once_and_both_wait_for_it() -> None:
    plan = plan_artifacts([version("one"), version("two")], seen())
    (pull,) = [step for step in plan.operations if step.verb is Verb.PULL]
    links = [step for step in plan.operations if step.verb is Verb.LINK]
    assert [step.depends_on for step in links] == [(pull.id,), (pull.id,)]
    assert [step.id for step in links] == [link_id(ModelId(m), VersionId("v1")) for m in ("one", "two")]


def test_payloads_say_all_that_is_needed() -> None:
    pull, link = plan_artifacts([version("m")], seen()).operations
    assert pull.payload == Fetch("hf://org/repo/model.gguf", REVISION, A)
    assert link.payload == Link(ModelId("m"), VersionId("v1"), (file(),))
    assert all(step.fingerprint()["payload"] for step in (pull, link))


def test_a_version_without_a_hash_or_a_revision_is_blocked_and_the_others_go_on() -> None:
    plan = plan_artifacts(
        [version("no-hash", file(sha256=None)), version("no-commit", file(revision=None)), version("good")],
        seen(),
    )
    assert plan.blocked == {
        "no-hash": (
            "no-hash@v1: the spec does not say which sha256 model.gguf has",
            "run `modelctl pull no-hash`, which fills it in, and commit",
        ),
        "no-commit": (
            "no-commit@v1: the spec does not say which revision model.gguf has",
            "run `modelctl pull no-commit`, which fills it in, and commit",
        ),
    }
    assert [step.resource for step in plan.operations] == ["good@v1/model.gguf", "good@v1"]


def test_a_version_without_a_revision_is_blocked_even_when_its_file_is_in_place() -> None:
    plan = plan_artifacts([version("m", file(revision=None))], seen(m__model=A))
    assert list(plan.blocked) == ["m"]
    assert not is_in_place(version("m", file(revision=None)), seen(m__model=A))
