"""Keeping track of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.host.artifacts.ranges import Ranges

SIZE = 60
spans = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))


@given(st.lists(spans), st.integers(1, 20))
def test_ranges_know_exactly_the_bytes_that_were_added(added: list[tuple[int, int]], longest: int) -> None:
    ranges = Ranges(added)
    there = {byte for start, end in added for byte in range(start, end)}
    assert ranges.total == len(there)
    assert ranges.prefix == next(byte for byte in range(SIZE + 1) if byte not in there)
    gaps = list(ranges.gaps(SIZE, longest))
    missing = [byte for start, end in gaps for byte in range(start, end)]
    assert missing == [byte for byte in range(SIZE) if byte not in there]
    assert all(0 < end - start <= longest for start, end in gaps)
    assert ranges.spans == sorted(ranges.spans)
    assert all(a[1] < b[0] for a, b in zip(ranges.spans, ranges.spans[1:], strict=False))
