"""What of a device's layers may be left in RAM so that the rest fits: the least that does.

Of two layers at most; amounts are bytes.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Self

_Pick = tuple[int, int]
"""A kind of layer, and how much is left of one."""


@dataclass(frozen=True, slots=True)
class Left:
    """Of one layer so much is left in RAM."""

    layer: int
    amount: int


class Leaving:
    """What may be left of each layer, of which `share` is read for a token, at `speed` bytes per second.

    Each such layer costs two hops; one where the next layer is the first of another device and is among
    those that `save` one.
    """

    def __init__(
        self,
        amounts: Sequence[tuple[int, ...]],
        *,
        speed: float,
        hop: float,
        saves: Sequence[bool],
        share: float = 1.0,
    ) -> None:
        self._share = share
        self._speed = speed
        self._hop = hop
        self._saves = (*saves, False)
        self.first = 0
        """The first layer that may leave something."""
        kinds = tuple(dict.fromkeys(each for each in amounts if each))
        self._layers = [[number for number, each in enumerate(amounts) if each == kind] for kind in kinds]
        self._ways = _ways(kinds)
        self.most = max((ways[-1][0] for ways in self._ways if ways), default=0)
        """Bytes that any one device may leave."""

    def behind(self, first: int) -> Self:
        """The same for layers from `first` on."""
        other = copy(self)
        other.first = first
        return other

    def at_least(self, lack: int, reading: float, *, devices: int = 1) -> float:
        """How much longer it takes, hops aside, that so many devices that read so fast leave `lack` bytes."""
        slower = self._slower(reading)
        return slower * (lack if slower > 0 else self.most * devices)

    def _slower(self, reading: float) -> float:
        return self._share * (1 / self._speed - 1 / reading)

    def least(self, begin: int, end: int, lack: int, reading: float) -> tuple[float, tuple[Left, ...]] | None:
        """Seconds more than at `reading` bytes per second, and what to leave of layers `begin` to `end`.

        None where all that may be left is less than `lack`.
        """
        best: tuple[float, tuple[Left, ...]] | None = None
        slower = self._slower(reading)
        saved = self._hop if self._saves[end] else 0.0
        for ways in self._ways:
            for index in range(bisect_left(ways, lack, key=lambda way: way[0]), len(ways)):
                amount, picks = ways[index]
                seconds = slower * amount + 2 * self._hop * len(picks)
                if best is not None and seconds - saved >= best[0]:
                    break
                left = tuple(self._taken(picks, begin, end))
                if len(left) < len(picks):
                    continue
                if left[0].layer == end - 1 or left[-1].layer == end - 1:
                    seconds -= saved
                if best is None or seconds < best[0]:
                    best = seconds, left
        return best

    def _taken(self, picks: Sequence[_Pick], begin: int, end: int) -> Iterator[Left]:
        """The last layers of each kind, as far as there are any."""
        for number, (kind, amount) in enumerate(picks):
            layers = self._layers[kind]
            place = bisect_left(layers, end) - 1 - sum(other == kind for other, _ in picks[:number])
            if place >= 0 and layers[place] >= max(begin, self.first):
                yield Left(layers[place], amount)


@lru_cache(maxsize=64)
def _ways(
    kinds: tuple[tuple[int, ...], ...],
) -> tuple[tuple[tuple[int, tuple[_Pick, ...]], ...], ...]:
    """All amounts that one layer and that two layers may leave, the smallest first."""
    picks = [(kind, amount) for kind, amounts in enumerate(kinds) for amount in amounts]
    one = sorted((pick[1], (pick,)) for pick in picks)
    pairs = combinations_with_replacement(picks, 2)
    return tuple(one), tuple(sorted((sum(amount for _, amount in pair), pair) for pair in pairs))
