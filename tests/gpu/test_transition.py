"""What happens to runtimes when others are wanted."""

from collections.abc import Mapping

from reconciler.core.types import Bytes, ModelId, unit_name
from reconciler.gpu.transition import RuntimeUse, Transition, transition
from tests.gpu.cards import MAX, MID

BIG, SMALL = "GPU-0", "GPU-1"


def runtime(model: str, profile: str, gib: Mapping[str, int] | None = None, **use) -> RuntimeUse:
    devices = {gpu: Bytes(size * 1024**3) for gpu, size in (gib or {}).items()}
    values = {"running": True, "ready": True, "devices": devices} | use
    return RuntimeUse(unit_name(model, profile), ModelId(model), **values)


def missing(model: str, profile: str, gib: Mapping[str, int] | None = None, **use) -> RuntimeUse:
    return runtime(model, profile, gib, **{"running": False, "ready": False, **use})


def room(**gib: int) -> dict[str, Bytes]:
    return {{"big": BIG, "small": SMALL}[gpu]: Bytes(size * 1024**3) for gpu, size in gib.items()}


def test_nothing_happens_while_everything_runs_where_it_should() -> None:
    assert transition([runtime("a", MAX), runtime("b", MAX)], [], {}).settled


def test_the_old_runtime_serves_until_its_successor_is_ready() -> None:
    old = runtime("a", MAX, {BIG: 8}, requests=1)
    for new in (missing("a", MID, {SMALL: 6}), runtime("a", MID, {SMALL: 6}, ready=False)):
        now = transition([new], [old], room(small=11))
        assert now.bridge == ("llama@a-max",)
        assert now.start == (() if new.running else ("llama@a-mid",))
    now = transition([runtime("a", MID)], [old], room(small=5))
    assert now == Transition(drain=("llama@a-max",))


def test_one_that_is_not_wanted_stops_after_five_idle_minutes() -> None:
    new = runtime("a", MID)
    assert transition([new], [runtime("a", MAX, idle=299)], {}).drain == ("llama@a-max",)
    assert transition([new], [runtime("a", MAX, idle=300)], {}).stop == ("llama@a-max",)
    assert transition([new], [runtime("a", MAX, idle=900, requests=1)], {}).drain == ("llama@a-max",)


def test_a_version_that_was_replaced_does_not_linger() -> None:
    old = runtime("a", MAX, linger=0.0)
    assert transition([missing("a", "new")], [old], {}).bridge == (old.name,)
    assert transition([runtime("a", "new")], [old], {}).stop == (old.name,)


def test_a_model_that_is_not_served_any_more_drains() -> None:
    assert transition([], [runtime("big", MAX, idle=10)], {}).drain == ("llama@big-max",)
    assert transition([], [runtime("big", MAX, idle=400)], {}).stop == ("llama@big-max",)


def test_a_return_before_the_stop_costs_no_restart() -> None:
    now = transition([runtime("a", MAX, idle=120)], [runtime("a", MID)], {})
    assert now == Transition(drain=("llama@a-mid",))


def test_a_successor_that_does_not_fit_beside_the_old_one_waits_for_its_last_request() -> None:
    new = missing("a", MID, {SMALL: 9})
    old = runtime("a", MAX, {BIG: 10, SMALL: 8}, requests=2)
    assert transition([new], [old], room(big=1, small=3)) == Transition(
        wait={new.name: (old.name,)}, vacate=(old.name,)
    )
    assert transition([new], [], room(big=11, small=11)) == Transition(start=(new.name,))


def test_what_nobody_can_measure_fits_beside_nothing_of_its_model() -> None:
    old, other = runtime("a", MAX, {BIG: 1}), runtime("b", MAX, {BIG: 1})
    unknown = missing("a", MID, devices=None)
    assert transition([unknown], [old, other], room(big=20)) == Transition(
        wait={unknown.name: (old.name,)}, vacate=(old.name,), drain=(other.name,)
    )
    assert transition([unknown], [], room(big=20)).start == (unknown.name,)


def test_only_what_stands_in_the_way_is_hurried() -> None:
    new = missing("a", MID, {SMALL: 9})
    on_small = runtime("x", MAX, {SMALL: 8})
    on_big = runtime("y", MAX, {BIG: 8})
    now = transition([new], [on_small, on_big], room(big=1, small=3))
    assert now == Transition(
        wait={"llama@a-mid": ("llama@x-max",)}, vacate=("llama@x-max",), drain=("llama@y-max",)
    )


def test_no_more_make_room_than_need_to_and_first_the_one_that_is_replaced() -> None:
    new = missing("a", "new", {SMALL: 5})
    old, idle, busy = (runtime(model, MAX, {SMALL: 4}) for model in ("a", "b", "c"))
    coming = missing("c", "new", {SMALL: 0})
    now = transition([coming, new], [busy, idle, old], room(small=1))
    assert now.wait == {new.name: (old.name,)}
    assert now.bridge == (busy.name,)
    now = transition([coming, new], [busy, idle, old], room(small=0))
    assert now.wait == {new.name: (old.name, idle.name)}, "what nobody waits for, before what bridges"


def test_of_two_that_wait_the_second_gets_what_the_first_leaves() -> None:
    first, second = missing("a", "new", {SMALL: 3}), missing("b", "new", {SMALL: 2})
    old_a, old_b = runtime("a", "old", {SMALL: 5}), runtime("b", "old", {SMALL: 5})
    now = transition([first, second], [old_a, old_b], room(small=0))
    assert now.wait == {first.name: (old_a.name,), second.name: (old_a.name,)}
    assert now.bridge == (old_b.name,)


def test_starts_are_counted_against_each_other_and_nobody_is_overtaken() -> None:
    first = missing("a", MID, {SMALL: 5})
    second = missing("b", MID, {SMALL: 6})
    third = missing("c", MID, {SMALL: 1})
    elsewhere = missing("d", MID, {BIG: 1})
    now = transition([first, second, third, elsewhere], [], room(big=2, small=8))
    assert now == Transition(
        start=("llama@a-mid", "llama@d-mid"), wait={"llama@b-mid": (), "llama@c-mid": ()}
    )


def test_the_whole_way_there_and_back_loses_no_request() -> None:
    """At every step some ready runtime takes new requests for the model, or its successor is on the way."""
    old, new = runtime("a", MAX, {BIG: 8}), missing("a", MID, {SMALL: 6})
    now = transition([new], [old], room(small=11))
    assert (now.start, now.bridge) == ((new.name,), (old.name,))
    new = runtime("a", MID, {SMALL: 6})
    assert transition([new], [old], room(small=5)).drain == (old.name,)
    gone = missing("a", MAX, {BIG: 8})
    back = transition([gone], [new], room(big=15, small=5))
    assert (back.start, back.bridge) == ((gone.name,), (new.name,))
