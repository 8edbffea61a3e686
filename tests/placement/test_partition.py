from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.placement.partition import Lane, Layers, Overhead, partition

HOP = 0.25


def seconds(layers: Layers, lanes: list[Lane], counts: tuple[int, ...]) -> float | None:
    """The cost of one split, straight from the definition; None where it does not fit."""
    total = len(layers.sizes)
    used = [index for index, count in enumerate(counts) if count]
    begin, spent = 0, HOP * (len(used) - 1)
    for index in used:
        lane, end = lanes[index], begin + counts[index]
        roles = {
            (True, True): lane.overhead.only,
            (True, False): lane.overhead.first,
            (False, False): lane.overhead.middle,
            (False, True): lane.overhead.last,
        }
        if sum(layers.sizes[begin:end]) + roles[begin == 0, end == total] > lane.room:
            return None
        spent += sum(layers.reads[begin:end]) / lane.speed
        begin = end
    return spent


def by_trying_all(layers: Layers, lanes: list[Lane], *, first_required: bool) -> float | None:
    total = len(layers.sizes)
    found = [
        cost
        for counts in product(range(total + 1), repeat=len(lanes))
        if sum(counts) == total
        and (counts[0] > 0 or not first_required)
        and (cost := seconds(layers, lanes, counts)) is not None
    ]
    return min(found, default=None)


overheads = st.tuples(*[st.integers(0, 4)] * 4).map(lambda sizes: Overhead(*sizes))
lanes_ = st.builds(Lane, st.integers(0, 30), st.sampled_from([1.0, 2.0, 5.0, 20.0]), overheads)
layers_ = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6).map(
    lambda pairs: Layers(tuple(size for size, _ in pairs), tuple(float(read) for _, read in pairs))
)


@settings(max_examples=200)
@given(layers_, st.lists(lanes_, min_size=1, max_size=4), st.booleans())
def test_no_split_is_faster_than_the_chosen_one(layers, lanes, first_required):
    found = partition(layers, lanes, hop=HOP, first_required=first_required)
    best = by_trying_all(layers, lanes, first_required=first_required)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        cost, counts = found
        assert cost == pytest.approx(best)
        assert seconds(layers, lanes, counts) == pytest.approx(best)
        assert sum(counts) == len(layers.sizes)


def test_a_small_model_is_not_smeared_over_two_equal_devices():
    none = Overhead(0, 0, 0, 0)
    lanes = [Lane(100, 1.0, none), Lane(100, 1.0, none)]
    found = partition(Layers((1,) * 10, (1.0,) * 10), lanes, hop=HOP)
    assert found is not None
    assert sorted(found[1]) == [0, 10]


def test_the_faster_device_gets_what_fits_on_it():
    none = Overhead(0, 0, 0, 0)
    lanes = [Lane(6, 1.0, none), Lane(7, 10.0, none)]
    found = partition(Layers((1,) * 10, (1.0,) * 10), lanes, hop=HOP)
    assert found is not None
    assert found[1] == (3, 7)
