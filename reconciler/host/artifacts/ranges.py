"""Which bytes of a file are there."""

from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""From the first byte up to, and not including, the second."""


class Ranges:
    """Spans of bytes, sorted and merged."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans: list[Span] = []
        for start, end in spans:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        kept: list[Span] = []
        for known in self.spans:
            if known[1] < start or end < known[0]:
                kept.append(known)
            else:
                start, end = min(start, known[0]), max(end, known[1])
        kept.append((start, end))
        kept.sort()
        self.spans = kept

    @property
    def total(self) -> int:
        """How many bytes are there."""
        return sum(end - start for start, end in self.spans)

    @property
    def prefix(self) -> int:
        """How many bytes are there without a gap from the file's begin."""
        return self.spans[0][1] if self.spans and self.spans[0][0] == 0 else 0

    def gaps(self, size: int, longest: int) -> Iterator[Span]:
        """What is missing of a file of `size` bytes, in order, cut into spans of at most `longest` bytes."""
        position = 0
        for start, end in [*self.spans, (size, size)]:
            while position < start:
                cut = min(start, position + longest)
                yield position, cut
                position = cut
            position = max(position, end)
