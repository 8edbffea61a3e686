from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.placement.leaving import Leaving
from reconciler.placement.partition import Lane, Layers, Overhead, partition

HOP = 0.25


def seconds(layers: Layers, lanes: list[Lane], counts: tuple[int, ...]) -> float | None:
    """The cost of one split, straight from the definition; None where it does not fit."""
    total = len(layers.sizes)
    used = [index for index, count in enumerate(counts) if count]
    begin, spent = 0, 0.0
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
        spent += sum(layers.reads[begin:end]) / lane.speed + (layers.handovers[begin] if begin else 0.0)
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
hops_ = st.sampled_from([0.0, HOP, HOP, 3 * HOP])
layers_ = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), hops_), min_size=1, max_size=6).map(
    lambda rows: Layers(
        *map(tuple, zip(*((size, float(read), hop) for size, read, hop in rows), strict=True))
    )
)


@settings(max_examples=200)
@given(layers_, st.lists(lanes_, min_size=1, max_size=4), st.booleans())
def test_no_split_is_faster_than_the_chosen_one(layers, lanes, first_required):
    found = partition(layers, lanes, first_required=first_required)
    best = by_trying_all(layers, lanes, first_required=first_required)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        assert found.seconds == pytest.approx(best)
        assert seconds(layers, lanes, found.counts) == pytest.approx(best)
        assert sum(found.counts) == len(layers.sizes)


RAM = 0.5
"""Bytes per second, slower than any lane."""


@dataclass(frozen=True)
class Divided:
    """Layers that may leave something in RAM, from the `first` on."""

    layers: Layers
    amounts: tuple[tuple[int, ...], ...]
    saves: tuple[bool, ...]
    share: float
    first: int

    @property
    def leaving(self) -> Leaving:
        whole = Leaving(self.amounts, speed=RAM, hop=HOP, saves=self.saves, share=self.share)
        return whole.behind(self.first)

    def seconds(self, lanes: list[Lane], counts: tuple[int, ...], left: tuple[int, ...]) -> float | None:
        """The cost of one split with so much left in RAM of each layer; None where it does not fit."""
        layers = self.layers
        sizes = tuple(size - amount for size, amount in zip(layers.sizes, left, strict=True))
        reads = tuple(read - amount * self.share for read, amount in zip(layers.reads, left, strict=True))
        spent = seconds(Layers(sizes, reads, layers.handovers), lanes, counts)
        begins = {end for end, count in zip(accumulate(counts), counts, strict=True) if count}
        hops = sum(
            2 - (number + 1 in begins and number + 1 < len(left) and self.saves[number + 1])
            for number in range(len(left))
            if left[number]
        )
        return None if spent is None else spent + sum(left) * self.share / RAM + HOP * hops

    def all_seconds(self, lanes: list[Lane]) -> Iterator[float]:
        """The cost of every split of which each lane leaves something of two layers at most."""
        total = len(self.layers.sizes)
        ways = [(0, *each) if number >= self.first else (0,) for number, each in enumerate(self.amounts)]
        for counts in product(range(total + 1), repeat=len(lanes)):
            if sum(counts) != total:
                continue
            for left in product(*ways):
                ends = list(accumulate(counts))
                touched = [sum(map(bool, left[end - n : end])) for end, n in zip(ends, counts, strict=True)]
                if max(touched) <= 2 and (cost := self.seconds(lanes, counts, left)) is not None:
                    yield cost


@st.composite
def divided_(draw: st.DrawFn) -> Divided:
    amounts = st.sampled_from([(), (1, 3), (2,), (1, 2, 4)])
    rows = draw(st.lists(st.tuples(st.integers(4, 9), hops_, amounts, st.booleans()), min_size=1, max_size=5))
    sizes, hops, each, saves = (tuple(column) for column in zip(*rows, strict=True))
    layers = Layers(sizes, tuple(float(size) for size in sizes), tuple(map(float, hops)))
    share = draw(st.sampled_from([1.0, 0.25]))
    return Divided(layers, each, saves, share, draw(st.integers(0, len(rows))))


@settings(max_examples=200, deadline=None)
@given(divided_(), st.lists(lanes_, min_size=1, max_size=3))
def test_what_does_not_fit_is_left_in_ram_at_the_least_cost(divided: Divided, lanes: list[Lane]) -> None:
    found = partition(divided.layers, lanes, leaving=divided.leaving)
    best = min(divided.all_seconds(lanes), default=None)
    assert (found is None) == (best is None)
    if found is not None:
        assert found.seconds == pytest.approx(best)
        left = {one.layer: one.amount for one in found.left}
        in_order = tuple(left.get(number, 0) for number in range(len(divided.amounts)))
        assert divided.seconds(lanes, found.counts, in_order) == pytest.approx(best)
        assert all(need <= lane.room for need, lane in zip(found.needed, lanes, strict=True))


def test_a_small_model_is_not_smeared_over_two_equal_devices():
    none = Overhead(0, 0, 0, 0)
    lanes = [Lane(100, 1.0, none), Lane(100, 1.0, none)]
    found = partition(Layers((1,) * 10, (1.0,) * 10, (HOP,) * 10), lanes)
    assert found is not None
    assert sorted(found.counts) == [0, 10]


def test_the_faster_device_gets_what_fits_on_it():
    none = Overhead(0, 0, 0, 0)
    lanes = [Lane(6, 1.0, none), Lane(7, 10.0, none)]
    found = partition(Layers((1,) * 10, (1.0,) * 10, (HOP,) * 10), lanes)
    assert found is not None
    assert found.counts == (3, 7)
