"""What happens to the runtimes when the profile changes."""

from reconciler.core.types import Bytes, ModelId, ProfileName, unit_name
from reconciler.gpu.transition import RuntimeUse, Transition, transition
from tests.gpu.cards import MAX, MID

BIG, SMALL = "GPU-0", "GPU-1"


def runtime(model: str, profile: ProfileName, gib: dict[str, int] | None = None, **use) -> RuntimeUse:
    devices = {gpu: Bytes(size * 1024**3) for gpu, size in (gib or {}).items()}
    values = {"running": True, "ready": True} | use
    return RuntimeUse(unit_name(model, profile), ModelId(model), profile, devices=devices, **values)


def room(**gib: int) -> dict[str, Bytes]:
    return {{"big": BIG, "small": SMALL}[gpu]: Bytes(size * 1024**3) for gpu, size in gib.items()}


def test_nothing_happens_while_everything_runs_where_it_should() -> None:
    assert transition(MAX, [runtime("a", MAX), runtime("b", MAX)], {}).settled


def test_the_old_runtime_serves_until_its_successor_is_ready() -> None:
    old = runtime("a", MAX, {BIG: 8}, requests=1)
    for new in (
        runtime("a", MID, {SMALL: 6}, running=False, ready=False),
        runtime("a", MID, {SMALL: 6}, ready=False),
    ):
        now = transition(MID, [old, new], room(small=11))
        assert now.bridge == ("llama@a-max",)
        assert now.start == (() if new.running else ("llama@a-mid",))
    now = transition(MID, [old, runtime("a", MID)], room(small=5))
    assert now == Transition(drain=("llama@a-max",))


def test_an_idle_runtime_of_another_profile_stops_after_five_minutes() -> None:
    new = runtime("a", MID)
    assert transition(MID, [new, runtime("a", MAX, idle=299)], {}).drain == ("llama@a-max",)
    assert transition(MID, [new, runtime("a", MAX, idle=300)], {}).stop == ("llama@a-max",)
    assert transition(MID, [new, runtime("a", MAX, idle=900, requests=1)], {}).drain == ("llama@a-max",)
    assert transition(MID, [new, runtime("a", MAX, idle=20)], {}, idle_seconds=10).stop == ("llama@a-max",)


def test_a_model_that_the_new_profile_does_not_serve_drains() -> None:
    assert transition(MID, [runtime("big", MAX, idle=10)], {}).drain == ("llama@big-max",)
    assert transition(MID, [runtime("big", MAX, idle=400)], {}).stop == ("llama@big-max",)


def test_a_return_before_the_stop_costs_no_restart() -> None:
    both = [runtime("a", MAX, idle=120), runtime("a", MID)]
    assert transition(MAX, both, {}) == Transition(drain=("llama@a-mid",))


def test_a_successor_that_does_not_fit_beside_the_old_one_waits_for_its_last_request() -> None:
    new = runtime("a", MID, {SMALL: 9}, running=False, ready=False)
    answering = runtime("a", MAX, {BIG: 10, SMALL: 8}, requests=2)
    assert transition(MID, [answering, new], room(big=1, small=3)) == Transition(
        wait=("llama@a-mid",), drain=("llama@a-max",)
    )
    quiet = runtime("a", MAX, {BIG: 10, SMALL: 8}, idle=1)
    assert transition(MID, [quiet, new], room(big=1, small=3)) == Transition(
        wait=("llama@a-mid",), stop=("llama@a-max",)
    )
    assert transition(MID, [new], room(big=11, small=11)) == Transition(start=("llama@a-mid",))


def test_only_what_stands_in_the_way_is_hurried() -> None:
    new = runtime("a", MID, {SMALL: 9}, running=False, ready=False)
    on_small = runtime("x", MAX, {SMALL: 8})
    on_big = runtime("y", MAX, {BIG: 8})
    now = transition(MID, [new, on_small, on_big], room(big=1, small=3))
    assert now == Transition(wait=("llama@a-mid",), drain=("llama@y-max",), stop=("llama@x-max",))


def test_starts_are_counted_against_each_other_and_nobody_is_overtaken() -> None:
    first = runtime("a", MID, {SMALL: 5}, running=False, ready=False)
    second = runtime("b", MID, {SMALL: 6}, running=False, ready=False)
    third = runtime("c", MID, {SMALL: 1}, running=False, ready=False)
    elsewhere = runtime("d", MID, {BIG: 1}, running=False, ready=False)
    now = transition(MID, [first, second, third, elsewhere], room(big=2, small=8))
    assert now == Transition(start=("llama@a-mid", "llama@d-mid"), wait=("llama@b-mid", "llama@c-mid"))


def test_without_any_profile_everything_goes_when_it_is_idle() -> None:
    now = transition(None, [runtime("a", MAX, idle=1), runtime("b", MID, idle=301)], {})
    assert now == Transition(drain=("llama@a-max",), stop=("llama@b-mid",))


def test_the_whole_way_there_and_back_loses_no_request() -> None:
    """At every step some ready runtime takes new requests for the model, or its successor is on the way."""
    old, new = runtime("a", MAX, {BIG: 8}), runtime("a", MID, {SMALL: 6}, running=False, ready=False)
    now = transition(MID, [old, new], room(small=11))
    assert (now.start, now.bridge) == ((new.name,), (old.name,))
    new = runtime("a", MID, {SMALL: 6})
    assert transition(MID, [old, new], room(small=5)).drain == (old.name,)
    gone = runtime("a", MAX, {BIG: 8}, running=False, ready=False)
    back = transition(MAX, [gone, new], room(big=15, small=5))
    assert (back.start, back.bridge) == ((gone.name,), (new.name,))
