"""The least time in which successive layers can be computed on successive devices that they fit on.

Time per token is bytes read over bandwidth, plus what it costs that one device hands over to the next.
Devices keep their order and may be skipped. What does not fit of a device's layers may be left in RAM, of two
of them at most: instead of more, whole layers in front go there. Exact, in time linear in layers times
devices.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from reconciler.placement.leaving import Leaving, Left


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes that a device needs beside its layers, by the part of the model that it has."""

    only: int
    first: int
    middle: int
    last: int

    def of(self, *, begins: bool, ends: bool) -> int:
        """For a part that begins the model, ends it, both or neither."""
        if begins:
            return self.only if ends else self.first
        return self.last if ends else self.middle


@dataclass(frozen=True, slots=True)
class Lane:
    """One device: bytes that fit, bytes read per second."""

    room: int
    speed: float
    overhead: Overhead

    @property
    def most(self) -> int:
        """Bytes of layers that fit at most, whichever part it has."""
        least = min(self.overhead.only, self.overhead.first, self.overhead.middle, self.overhead.last)
        return max(0, self.room - least)


@dataclass(frozen=True, slots=True)
class Layers:
    """Bytes that each layer takes, bytes of it that are read per token, and what it costs to begin there."""

    sizes: tuple[int, ...]
    reads: tuple[float, ...]
    handovers: tuple[float, ...]
    """Seconds when another device has the layer before; of the first layer without meaning."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds per token, and by lane the number of layers and the bytes that what is not left needs there."""

    seconds: float
    counts: tuple[int, ...]
    needed: tuple[int, ...]
    left: tuple[Left, ...]
    """What is left in RAM, by layer."""


def partition(
    layers: Layers,
    lanes: Sequence[Lane],
    *,
    first_required: bool = False,
    leaving: Leaving | None = None,
) -> Parts | None:
    """The parts of all lanes; None where they do not fit.

    `first_required`: the first lane takes at least one layer. `leaving`: what lanes may leave in RAM; a
    first lane that is required is RAM and leaves nothing.
    """
    count = len(layers.sizes)
    entering = (0.0, *layers.handovers[1:])
    before = _Before((0, *accumulate(layers.sizes)), (0.0, *accumulate(layers.reads)), entering)
    best = [0.0] + [inf] * count
    starts: list[list[int]] = []
    for number, lane in enumerate(lanes):
        reached = best
        best, chosen = _extend(reached, lane, before)
        if number == 0 and first_required:
            best[0] = inf
        elif leaving is not None:
            _Shortened(before, lane, leaving).extend(reached, best, chosen)
        starts.append(chosen)
    if best[count] == inf:
        return None
    counts, needed = [0] * len(lanes), [0] * len(lanes)
    left: list[Left] = []
    end = count
    for number in reversed(range(len(lanes))):
        begin = starts[number][end]
        if begin == end:
            continue
        lane = lanes[number]
        counts[number], needed[number] = end - begin, before.needed(begin, end, lane)
        lack = needed[number] - lane.room
        if lack > 0 and leaving is not None:
            least = leaving.least(begin, end, lack, lane.speed)
            here = least[1] if least is not None else ()
            left += here
            needed[number] -= sum(one.amount for one in here)
        end = begin
    in_order = tuple(sorted(left, key=lambda one: one.layer))
    return Parts(best[count], tuple(counts), tuple(needed), in_order)


@dataclass(frozen=True, slots=True)
class _Before:
    """Sums over all layers before each, and what it costs to begin there."""

    sizes: tuple[int, ...]
    reads: tuple[float, ...]
    entering: tuple[float, ...]

    def needed(self, begin: int, end: int, lane: Lane) -> int:
        """Bytes of these layers on the lane, with what it needs beside them."""
        ends = end == len(self.sizes) - 1
        return self.sizes[end] - self.sizes[begin] + lane.overhead.of(begins=begin == 0, ends=ends)


@dataclass(frozen=True, slots=True)
class _Shortened:
    """Parts that fit on a lane when something of them is left in RAM."""

    before: _Before
    lane: Lane
    leaving: Leaving

    def extend(self, reached: Sequence[float], best: list[float], start: list[int]) -> None:
        """Better the least times with this lane where such parts do; `reached` are those without it."""
        for end in range(self.leaving.first + 1, len(best)):
            for bound, begin, lack in sorted(self._candidates(reached, end, best[end])):
                if bound >= best[end]:
                    break
                least = self.leaving.least(begin, end, lack, self.lane.speed)
                if least is None:
                    continue
                seconds = bound - self.leaving.at_least(lack, self.lane.speed) + least[0]
                if seconds < best[end]:
                    best[end], start[end] = seconds, begin

    def _candidates(
        self, reached: Sequence[float], end: int, most: float
    ) -> Iterator[tuple[float, int, int]]:
        """Seconds that a part to `end` takes at the least, where it begins, and bytes of it that do not fit.

        Only those that may take less than `most`.
        """
        before, lane = self.before, self.lane
        lowest = bisect_left(before.sizes, before.sizes[end] - lane.room - self.leaving.most)
        for begin in range(lowest, end):
            if reached[begin] >= most:
                continue
            lack = before.needed(begin, end, lane) - lane.room
            if lack > 0:
                read = before.reads[end] - before.reads[begin]
                bound = reached[begin] + before.entering[begin] + read / lane.speed
                bound += self.leaving.at_least(lack, lane.speed)
                if bound < most:
                    yield bound, begin, lack
            elif begin:
                return


def _extend(best: Sequence[float], lane: Lane, before: _Before) -> tuple[list[float], list[int]]:
    """`best[i]` is the least time for the first i layers; with one more lane, and where its part begins."""
    count = len(best) - 1
    size_before, reads_before, entering = before.sizes, before.reads, before.entering
    result, start = list(best), list(range(count + 1))
    # Beginnings that may still be the best for a later end, the best first.
    waiting: deque[tuple[float, int]] = deque()
    for end in range(1, count):
        begin = end - 1
        if begin > 0 and best[begin] < inf:
            value = best[begin] + entering[begin] - reads_before[begin] / lane.speed
            while waiting and waiting[-1][0] >= value:
                waiting.pop()
            waiting.append((value, begin))
        while waiting and size_before[end] - size_before[waiting[0][1]] + lane.overhead.middle > lane.room:
            waiting.popleft()
        reading = reads_before[end] / lane.speed
        if waiting and waiting[0][0] + reading < result[end]:
            result[end], start[end] = waiting[0][0] + reading, waiting[0][1]
        if best[0] == 0 and size_before[end] + lane.overhead.first <= lane.room and reading < result[end]:
            result[end], start[end] = reading, 0
    for begin in range(count):
        overhead = lane.overhead.last if begin else lane.overhead.only
        seconds = best[begin] + entering[begin]
        seconds += (reads_before[count] - reads_before[begin]) / lane.speed
        fits = size_before[count] - size_before[begin] + overhead <= lane.room
        if fits and seconds < result[count]:
            result[count], start[count] = seconds, begin
    return result, start
