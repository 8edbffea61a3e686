"""Which change of version is refused, and what the spec's text is after one."""

from pathlib import Path

import pytest

from reconciler.core.errors import ModelctlError, Refused, UsageError
from reconciler.core.inventory import OwnedUnit
from reconciler.core.plan import Revision
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.host.state import State
from reconciler.reconcile.session import Source, from_texts
from reconciler.reconcile.versions import edited, pin_edits, promotion, rollback

SPEC = f"""\
# The models of this machine.
models:
  - id: a
    current_version: "v1"   # chosen in May
    versions:
      - {{version_id: v1, gguf_url: "file:///a.gguf", sha256: {"a" * 64}}}
      - {{version_id: v2, gguf_url: "file:///b.gguf", sha256: {"b" * 64}}}
      - {{version_id: raw, gguf_url: "hf://org/repo/c.gguf"}}
      - version_id: half
        gguf_url: file:///d.gguf
        sha256: {"d" * 64}
        mmproj: {{url: "file:///e.gguf"}}
    profiles: {{cpu_only: {{}}}}
"""


def source(text: str = SPEC) -> Source:
    return from_texts(Path("spec"), {"spec/a.yaml": text}, Revision("c0ffee", dirty=False))


def served(state: State, *versions: str) -> None:
    """As if each of these had been applied and answered, one after the other."""
    for version in versions:
        state.put_unit(
            OwnedUnit(
                name=UnitName("llama@a-cpu_only"),
                model=ModelId("a"),
                version=VersionId(version),
                profile=ProfileName("cpu_only"),
                endpoint="http://127.0.0.1:8601",
                config_hash=version,
                text="",
                started_hash=version,
                ready_hash=version,
                generation=1,
            )
        )
        state.commit_generation(None, dirty=True, profile="cpu_only")


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.open(tmp_path / "state.db", create=True)


def test_a_promotion_changes_one_word_of_the_spec() -> None:
    change = promotion(source().spec, "a", "v2")
    after, files = edited(source(), change.edits)
    assert files == {"spec/a.yaml": SPEC.replace('current_version: "v1" ', 'current_version: "v2" ')}
    assert after.spec.models[0].current_version == "v2"
    assert after.revision == Revision("c0ffee", dirty=True)
    assert change.message == "Promote a to v2"


def test_a_promotion_to_what_is_served_edits_nothing() -> None:
    change = promotion(source().spec, "a", "v1")
    assert change.edits == ()
    assert edited(source(), change.edits) == (source(), {})


@pytest.mark.parametrize(
    ("model", "version", "kind", "what", "hint"),
    [
        ("b", "v1", UsageError, "no model `b`", "modelctl list"),
        ("a", "hal", UsageError, "no version `hal`", "did you mean `half`"),
        ("a", "x", UsageError, "no version `x`", "versions there: v1, v2, raw, half"),
        ("a", "raw", Refused, "never pulled", "modelctl pull a@raw"),
        ("a", "half", Refused, "lacks the sha256 of mmproj.gguf", "modelctl pull a@half"),
    ],
)
def test_what_cannot_be_promoted_is_refused_with_the_way_out(
    model: str, version: str, kind: type[ModelctlError], what: str, hint: str
) -> None:
    with pytest.raises(kind) as caught:
        promotion(source().spec, model, version)
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")


def test_a_pinned_model_stays_where_it_is(state: State) -> None:
    spec = source(SPEC + "pins: {a: v1}\n").spec
    served(state, "v2", "v1")
    for attempt in (lambda: promotion(spec, "a", "v2"), lambda: rollback(spec, "a", None, state)):
        with pytest.raises(Refused, match="`a` is pinned to v1") as caught:
            attempt()
        assert caught.value.hint == "modelctl unpin a"
    assert promotion(spec, "a", "v1").edits == ()


def test_a_rollback_goes_to_what_answered_before(state: State) -> None:
    served(state, "v2", "v1")
    assert rollback(source().spec, "a", None, state).message == "Roll back a to v2"
    assert rollback(source().spec, "a", "v2", state).after == "v2"


def test_a_rollback_with_nothing_before_it_is_refused(state: State) -> None:
    for _ in range(2):
        with pytest.raises(Refused, match="served no other version before v1") as caught:
            rollback(source().spec, "a", None, state)
        assert "--to" in (caught.value.hint or "")
        served(state, "v1")


def test_a_rollback_to_what_the_spec_dropped_is_refused(state: State) -> None:
    served(state, "v0", "v1")
    with pytest.raises(Refused, match=r"served v0 \(generation 1\), which the spec no longer lists"):
        rollback(source().spec, "a", None, state)


def test_a_pin_is_for_the_version_that_is_served() -> None:
    pinned, edits = pin_edits(source().spec, "a", None)
    assert pinned == "v1"
    _, files = edited(source(), edits)
    assert files == {"spec/a.yaml": SPEC + "pins:\n  a: v1\n"}
    again = source(SPEC + "pins: {a: v1}\n")
    assert pin_edits(again.spec, "a", "v1") == ("v1", ())
    with pytest.raises(Refused, match="only the version that is served") as caught:
        pin_edits(source().spec, "a", "v2")
    assert "modelctl promote a --to v2" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no version"):
        pin_edits(source().spec, "a", "v9")
