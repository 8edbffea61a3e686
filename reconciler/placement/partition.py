"""The least time in which successive layers can be computed on successive devices that they fit on.

Time per token is bytes read over bandwidth, plus a hop wherever one device hands over to the next. Devices
keep their order and may be skipped. What does not fit of a device's layers may be left in RAM, of two of them
at most: instead of more, whole layers in front go there. Exact, in time linear in layers times devices.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Layers:
    """Bytes that each layer takes and bytes of it that are read for each token."""

    sizes: tuple[int, ...]
    reads: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds per token, and by lane the number of layers and the bytes that they need there."""

    seconds: float
    counts: tuple[int, ...]
    needed: tuple[int, ...]
    left: tuple[Left, ...]
    """What is left in RAM, by layer."""


def partition(
    layers: Layers,
    lanes: Sequence[Lane],
    *,
    hop: float,
    first_required: bool = False,
    leaving: Leaving | None = None,
) -> Parts | None:
    """The parts of all lanes; None where they do not fit.

    `first_required`: the first lane takes at least one layer. `leaving`: what lanes may leave in RAM; a
    first lane that is required is RAM and leaves nothing.
    """
    count = len(layers.sizes)
    before = _Before((0, *accumulate(layers.sizes)), (0.0, *accumulate(layers.reads)))
    best = [0.0] + [inf] * count
    starts: list[list[int]] = []
    for number, lane in enumerate(lanes):
        reached = best
        best, chosen = _extend(reached, lane, before, hop)
        if number == 0 and first_required:
            best[0] = inf
        elif leaving is not None:
            _Shortened(before, lane, leaving, hop).extend(reached, best, chosen)
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
            left += least[1] if least is not None else ()
        end = begin
    in_order = tuple(sorted(left, key=lambda one: one.layer))
    return Parts(best[count], tuple(counts), tuple(needed), in_order)


@dataclass(frozen=True, slots=True)
class _Before:
    """Sums over all layers before each."""

    sizes: tuple[int, ...]
    reads: tuple[float, ...]

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
    hop: float

    def extend(self, reached: Sequence[float], best: list[float], start: list[int]) -> None:
        """Better the least times with this lane where such parts do; `reached` are those without it."""
        sizes = self.before.sizes
        for end in range(1, len(best)):
            lowest = bisect_left(sizes, sizes[end] - self.lane.room - self.leaving.most)
            for begin in range(lowest, end):
                lack = self.before.needed(begin, end, self.lane) - self.lane.room
                if lack > 0:
                    seconds = self._seconds(reached[begin], begin, end, lack, best[end])
                    if seconds < best[end]:
                        best[end], start[end] = seconds, begin
                elif begin:
                    break

    def _seconds(self, reached: float, begin: int, end: int, lack: int, most: float) -> float:
        """Endless where the part does not fit, or takes more than `most` without what is left of it."""
        read = self.before.reads[end] - self.before.reads[begin]
        seconds = reached + (self.hop if begin else 0.0) + read / self.lane.speed
        if seconds >= most:
            return inf
        least = self.leaving.least(begin, end, lack, self.lane.speed)
        return inf if least is None else seconds + least[0]


def _extend(best: Sequence[float], lane: Lane, before: _Before, hop: float) -> tuple[list[float], list[int]]:
    """`best[i]` is the least time for the first i layers; with one more lane, and where its part begins."""
    count = len(best) - 1
    size_before, reads_before = before.sizes, before.reads
    result, start = list(best), list(range(count + 1))
    # Beginnings that may still be the best for a later end, the best first.
    waiting: deque[tuple[float, int]] = deque()
    for end in range(1, count):
        begin = end - 1
        if begin > 0 and best[begin] < inf:
            value = best[begin] - reads_before[begin] / lane.speed
            while waiting and waiting[-1][0] >= value:
                waiting.pop()
            waiting.append((value, begin))
        while waiting and size_before[end] - size_before[waiting[0][1]] + lane.overhead.middle > lane.room:
            waiting.popleft()
        reading = reads_before[end] / lane.speed
        if waiting and waiting[0][0] + hop + reading < result[end]:
            result[end], start[end] = waiting[0][0] + hop + reading, waiting[0][1]
        if best[0] == 0 and size_before[end] + lane.overhead.first <= lane.room and reading < result[end]:
            result[end], start[end] = reading, 0
    for begin in range(count):
        overhead = lane.overhead.last if begin else lane.overhead.only
        seconds = best[begin] + (hop if begin else 0.0)
        seconds += (reads_before[count] - reads_before[begin]) / lane.speed
        fits = size_before[count] - size_before[begin] + overhead <= lane.room
        if fits and seconds < result[count]:
            result[count], start[count] = seconds, begin
    return result, start
