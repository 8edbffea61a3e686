"""ggml's graph allocator in small: which tensors of a computation share memory, and how much that takes.

A compute buffer is as large as its allocator's high-water mark, fragmentation included, so the rules of
ggml-alloc.c (build b11434) are followed: best fit, the last block grows, an operation that can work in place
takes over its operand's memory when nobody else needs it.
"""

from dataclasses import dataclass

from reconciler.core.types import Bytes

ALIGNMENT = 128
"""CUDA's; other backends align to less."""
_ENDLESS = 2**62


@dataclass(frozen=True, slots=True)
class _Step:
    size: int
    sources: tuple[int, ...]
    in_place: bool


class Tape:
    """Operations of one device in order. Numbers that `add` and `hold` return name their results."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._inputs: list[int] = []
        self._held: set[int] = set()

    def hold(self, size: int) -> int:
        """Memory that is taken from the beginning to the end."""
        number = self.input(size)
        self._held.add(number)
        return number

    def input(self, size: int) -> int:
        """Memory that is taken from the beginning until its last use."""
        number = self.add(size)
        self._inputs.append(number)
        return number

    def add(self, size: int, *sources: int, in_place: bool = False) -> int:
        """An operation with a result of `size` bytes; 0 where it writes into a cache."""
        self._steps.append(_Step(-(-size // ALIGNMENT) * ALIGNMENT, sources, in_place))
        return len(self._steps) - 1

    def peak(self) -> Bytes:
        """Bytes that the whole tape needs at once."""
        uses = [0] * len(self._steps)
        for step in self._steps:
            for source in step.sources:
                uses[source] += 1
        arena = _Arena()
        places: dict[int, int] = {number: arena.take(self._steps[number].size) for number in self._inputs}
        for number, step in enumerate(self._steps):
            if number not in places and step.size:
                donor = self._donor(step, uses, places) if step.in_place else None
                places[number] = arena.take(step.size) if donor is None else places.pop(donor)
            for source in step.sources:
                uses[source] -= 1
                if uses[source] == 0 and source in places and source not in self._held:
                    arena.give(places.pop(source), self._steps[source].size)
        return Bytes(arena.peak)

    def _donor(self, step: _Step, uses: list[int], places: dict[int, int]) -> int | None:
        for source in step.sources:
            fits = self._steps[source].size == step.size
            if fits and uses[source] == 1 and source in places and source not in self._held:
                return source
        return None


class _Arena:
    """Free blocks by address; the last one is endless."""

    def __init__(self) -> None:
        self._free = [(0, _ENDLESS)]
        self.peak = 0

    def take(self, size: int) -> int:
        best = len(self._free) - 1
        for index in range(len(self._free) - 1):
            room = self._free[index][1]
            if size <= room and (best == len(self._free) - 1 or room <= self._free[best][1]):
                best = index
        offset, room = self._free[best]
        if room == size:
            del self._free[best]
        else:
            self._free[best] = (offset + size, room - size)
        self.peak = max(self.peak, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        index = next(i for i, (start, _) in enumerate(self._free) if start > offset)
        after, room = self._free[index]
        if offset + size == after:
            self._free[index] = (offset, size + room)
        else:
            self._free.insert(index, (offset, size))
        if index:
            before, room = self._free[index - 1]
            if before + room == offset:
                self._free[index - 1 : index + 1] = [(before, room + self._free[index][1])]
