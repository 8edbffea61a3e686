"""The least time in which successive layers can be computed on successive devices that they fit on.

Time per token is bytes read over bandwidth, plus a hop wherever one device hands over to the next. Devices
keep their order and may be skipped. Exact, in time linear in layers times devices.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes that a device needs beside its layers, by the part of the model that it has."""

    only: int
    first: int
    middle: int
    last: int


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


def partition(
    layers: Layers, lanes: Sequence[Lane], *, hop: float, first_required: bool = False
) -> tuple[float, tuple[int, ...]] | None:
    """Seconds per token and the number of layers per lane; None where they do not fit.

    `first_required`: the first lane takes at least one layer.
    """
    count = len(layers.sizes)
    size_before = (0, *accumulate(layers.sizes))
    reads_before = (0.0, *accumulate(layers.reads))
    best = [0.0] + [inf] * count
    starts: list[list[int]] = []
    for number, lane in enumerate(lanes):
        best, chosen = _extend(best, lane, size_before, reads_before, hop)
        if number == 0 and first_required:
            best[0] = inf
        starts.append(chosen)
    if best[count] == inf:
        return None
    taken = []
    end = count
    for chosen in reversed(starts):
        taken.append(end - chosen[end])
        end = chosen[end]
    return best[count], tuple(reversed(taken))


def _extend(
    best: Sequence[float],
    lane: Lane,
    size_before: Sequence[int],
    reads_before: Sequence[float],
    hop: float,
) -> tuple[list[float], list[int]]:
    """`best[i]` is the least time for the first i layers; with one more lane, and where its part begins."""
    count = len(best) - 1
    result, start = list(best), list(range(count + 1))
    # Beginnings that may still be the best for a later end, the best first.
    waiting: deque[tuple[float, int]] = deque()
    for end in range(1, count):
        before = end - 1
        if before > 0 and best[before] < inf:
            value = best[before] - reads_before[before] / lane.speed
            while waiting and waiting[-1][0] >= value:
                waiting.pop()
            waiting.append((value, before))
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
