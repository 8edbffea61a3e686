"""Whether a GPU is free enough, and what of its load is ours."""

from dataclasses import replace

import pytest

from reconciler.core.gpu import Gpu
from reconciler.core.types import Bytes
from reconciler.gpu.eligibility import (
    UTILISATION_CALL,
    GpuState,
    Judgement,
    Limits,
    OwnUse,
    Verdict,
    judge,
    observe,
)
from tests.gpu.cards import GIB, RTX_5080, card, process

LIMITS = Limits()
OURS = 4000
GAME = 5000


def verdict(gpu: Gpu, own: OwnUse | None = None, *, silent: frozenset[str] = frozenset()) -> Verdict:
    return judge(gpu, own or OwnUse(), LIMITS, locked=None, silent=silent).verdict


@pytest.mark.parametrize(
    ("load", "free", "expected"),
    [
        (0, 11, Verdict.FREE),
        (49, 2.1, Verdict.FREE),
        (50, 11, Verdict.BUSY),
        (100, 11, Verdict.BUSY),
        (0, 2, Verdict.BUSY),
        (0, 0, Verdict.BUSY),
        (None, 11, Verdict.FREE),
        (None, 1, Verdict.BUSY),
    ],
)
def test_the_limits_of_the_requirements(load: int | None, free: float, expected: Verdict) -> None:
    assert verdict(card(0, "x", load=load, free=free)) is expected


def test_our_own_memory_and_load_do_not_count() -> None:
    full = card(0, "x", load=99, free=0.5, processes=(process(OURS, 11, 99),))
    assert verdict(full) is Verdict.BUSY
    assert verdict(full, OwnUse(frozenset({OURS}))) is Verdict.FREE


def test_a_game_beside_our_runtime_counts() -> None:
    shared = card(0, "x", load=99, free=3, processes=(process(OURS, 5, 10), process(GAME, 4, 89)))
    seen = judge(shared, OwnUse(frozenset({OURS})), LIMITS, locked=None, silent=frozenset())
    assert seen == Judgement(Verdict.BUSY, "89 % busy with other work")


def test_a_desktop_beside_our_busy_runtime_does_not_count() -> None:
    own = OwnUse(frozenset({OURS}))
    counted = card(0, "x", load=99, free=6, processes=(process(OURS, 5, 97), process(77, 0.4, 2)))
    assert verdict(counted, own) is Verdict.FREE
    uncounted = card(0, "x", load=99, free=6, processes=(process(OURS, 5), process(77, 0.4)))
    assert verdict(uncounted, own) is Verdict.FREE


def test_without_counts_per_process_a_game_shows_by_its_memory() -> None:
    shared = card(0, "x", load=99, free=3, processes=(process(OURS, 5), process(GAME, 4)))
    assert verdict(shared, OwnUse(frozenset({OURS}))) is Verdict.BUSY


@pytest.mark.parametrize("processes", [(), None, (process(31, None, 99),)])
def test_in_a_container_the_placement_stands_in_for_the_process_list(processes: tuple | None) -> None:
    """The driver lists processes by the host's ids, or not at all."""
    full = card(0, "x", load=99, free=0.5, processes=processes)
    assert verdict(full, OwnUse(frozenset({OURS}), {"GPU-0": Bytes(11 * GIB)})) is Verdict.FREE
    assert verdict(full, OwnUse(frozenset({OURS}), {"GPU-0": Bytes(7 * GIB)})) is Verdict.BUSY
    assert verdict(full, OwnUse(frozenset({OURS}), {"GPU-9": Bytes(11 * GIB)})) is Verdict.BUSY


def test_what_we_are_said_to_use_is_never_more_than_what_is_used() -> None:
    """A placement above the card's use must not make up free memory."""
    gpu = card(0, "x", total=2, free=2)
    assert verdict(gpu, OwnUse(placed={"GPU-0": Bytes(64 * GIB)})) is Verdict.BUSY


def test_a_load_that_the_driver_fails_to_tell_is_unknown() -> None:
    mute = replace(RTX_5080, utilisation=None)
    assert verdict(mute, silent=frozenset({UTILISATION_CALL})) is Verdict.UNKNOWN
    assert verdict(mute, silent=frozenset({"nvmlDeviceGetPowerUsage"})) is Verdict.FREE
    full = card(0, "x", load=None, free=1)
    assert verdict(full, silent=frozenset({UTILISATION_CALL})) is Verdict.BUSY


def test_a_lockout_wins_over_everything() -> None:
    seen = judge(RTX_5080, OwnUse(), LIMITS, locked="Gaming session", silent=frozenset())
    assert seen == Judgement(Verdict.LOCKED, "locked: Gaming session")


def fold(state: GpuState | None, looks: str) -> list[bool]:
    """`.` free, `#` busy, `?` unknown, `L` locked: what is held after each look."""
    verdicts = {".": Verdict.FREE, "#": Verdict.BUSY, "?": Verdict.UNKNOWN, "L": Verdict.LOCKED}
    held = []
    for look in looks:
        state = observe(state, RTX_5080, Judgement(verdicts[look], None), LIMITS)
        held.append(state.eligible)
    return held


@pytest.mark.parametrize(
    ("looks", "held"),
    [
        (".", "+"),
        ("#", "-"),
        ("?", "+"),
        (".##.##.", "+++++++"),
        (".###", "+++-"),
        ("#..#..#", "-------"),
        ("#...", "---+"),
        (".##?#", "++++-"),
        (".?????", "++++++"),
        (".L", "+-"),
        (".L...", "+---+"),
        ("L", "-"),
        ("L???", "----"),
        ("#.#.#.#.#.", "----------"),
    ],
)
def test_it_takes_three_looks_in_a_row_to_change_a_mind(looks: str, held: str) -> None:
    assert "".join("+" if one else "-" for one in fold(None, looks)) == held
