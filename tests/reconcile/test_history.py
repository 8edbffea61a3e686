"""What generations say of versions."""

from reconciler.core.inventory import Generation, OwnedUnit
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId
from reconciler.reconcile.history import VersionChange, history, served_before

A, B = ModelId("a"), ModelId("b")


def unit(
    model: str, version: str, *, ready: bool = True, failure: str | None = None, profile: str = "max"
) -> OwnedUnit:
    return OwnedUnit(
        name=UnitName(f"llama@{model}-{profile}"),
        model=ModelId(model),
        version=VersionId(version),
        profile=ProfileName(profile),
        endpoint="http://127.0.0.1:8601",
        config_hash=version,
        text="",
        started_hash=version,
        ready_hash=version if ready else None,
        generation=1,
        failure=failure,
    )


def newest_first(*generations: tuple[OwnedUnit, ...]) -> list[Generation]:
    """Given oldest first, as they are made."""
    made = [
        Generation(number, float(number), "c0ffee", dirty=False, profile="max", units=units)
        for number, units in enumerate(generations, start=1)
    ]
    return made[::-1]


def change(model: str, before: str | None, after: str | None, failure: str | None = None) -> VersionChange:
    return VersionChange(
        ModelId(model),
        None if before is None else VersionId(before),
        None if after is None else VersionId(after),
        failure,
    )


def test_each_generation_shows_what_it_changed() -> None:
    told = history(
        newest_first(
            (unit("a", "v1"),),
            (unit("a", "v2"), unit("b", "v1")),
            (unit("a", "v2"), unit("b", "v1")),
            (unit("b", "v1"),),
        )
    )
    assert [(entry.number, entry.changes) for entry in told] == [
        (4, (change("a", "v2", None),)),
        (3, ()),
        (2, (change("a", "v1", "v2"), change("b", None, "v1"))),
        (1, (change("a", None, "v1"),)),
    ]


def test_a_models_history_leaves_out_what_is_not_about_it() -> None:
    generations = newest_first((unit("a", "v1"),), (unit("a", "v1"), unit("b", "v1")), (unit("a", "v2"),))
    assert [entry.number for entry in history(generations, A)] == [3, 1]
    assert [entry.number for entry in history(generations, B)] == [3, 2]


def test_a_change_that_failed_is_told_once() -> None:
    failed = unit("a", "v1", failure="not ready in 5 s")
    told = list(history(newest_first((unit("a", "v1"),), (failed,), (failed,)), A))
    assert [(entry.number, entry.changes) for entry in told] == [
        (2, (change("a", "v1", "v1", "not ready in 5 s"),)),
        (1, (change("a", None, "v1"),)),
    ]


def test_during_a_change_of_profile_the_active_ones_unit_counts() -> None:
    both = (unit("a", "v2", profile="max"), unit("a", "v1", profile="mid"))
    [entry] = history(newest_first(both))
    assert entry.changes == (change("a", None, "v2"),)


def test_what_served_before_is_the_last_other_version_that_answered() -> None:
    generations = newest_first(
        (unit("a", "v1"),), (unit("a", "v2"),), (unit("a", "v3", ready=False),), (unit("a", "v4"),)
    )
    before = served_before(generations, A, VersionId("v4"))
    assert before is not None
    assert (before.version, before.generation) == ("v2", 2)
    back = served_before(generations, A, VersionId("v2"))
    assert back is not None
    assert back.version == "v4"


def test_nothing_served_before_the_first_version() -> None:
    assert served_before([], A, VersionId("v1")) is None
    assert served_before(newest_first((unit("a", "v1"), unit("b", "v2"))), A, VersionId("v1")) is None
