from hypothesis import given
from hypothesis import strategies as st

from reconciler.placement.arena import ALIGNMENT, Tape

UNIT = ALIGNMENT


def test_what_nobody_needs_any_more_is_used_again():
    tape = Tape()
    last = tape.add(UNIT)
    for _ in range(50):
        last = tape.add(UNIT, last)
    assert tape.peak() == 2 * UNIT


def test_an_operation_in_place_takes_no_memory_of_its_own():
    tape = Tape()
    last = tape.add(UNIT)
    for _ in range(50):
        last = tape.add(UNIT, last, in_place=True)
    assert tape.peak() == UNIT


def test_a_value_that_is_needed_later_is_not_overwritten():
    tape = Tape()
    first = tape.add(UNIT)
    second = tape.add(UNIT, first, in_place=True)
    tape.add(UNIT, second, first, in_place=True)
    assert tape.peak() == 2 * UNIT


def test_held_memory_is_never_given_back():
    tape = Tape()
    held = tape.hold(3 * UNIT)
    tape.add(UNIT, tape.add(0, held))
    assert tape.peak() == 4 * UNIT


def test_a_large_block_does_not_fit_into_a_small_hole():
    tape = Tape()
    small, kept = tape.add(UNIT), tape.add(UNIT)
    tape.add(0, small)
    large = tape.add(2 * UNIT)
    tape.add(0, large, kept)
    assert tape.peak() == 4 * UNIT


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.booleans()), max_size=40))
def test_the_peak_lies_between_the_largest_step_and_the_sum(steps):
    tape = Tape()
    results: list[int] = []
    for size, back, in_place in steps:
        sources = results[-back:][:1]
        results.append(tape.add(size * UNIT, *sources, in_place=in_place))
    sizes = [size * UNIT for size, _, _ in steps]
    assert max(sizes, default=0) <= tape.peak() <= sum(sizes)
