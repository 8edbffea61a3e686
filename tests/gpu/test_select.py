"""Which profile is active, over many samples."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.gpu import Gpu, GpuSurvey, GpuTrouble
from reconciler.core.types import ProfileName
from reconciler.gpu.eligibility import Limits, OwnUse
from reconciler.gpu.select import SETTLE_SECONDS_MAX, Chance, Sample, Selection, step
from tests.gpu.cards import (
    CPU_ONLY,
    FALLBACK,
    GTX_1080_TI,
    MAX,
    MID,
    PROFILES,
    RTX_3060,
    RTX_5080,
    THREE,
    blind,
    busy,
    card,
    failed,
    process,
)

INTERVAL = 10.0
LIMITS = Limits()
FREE = GpuSurvey(THREE)
GAMING = GpuSurvey((busy(RTX_5080), RTX_3060, GTX_1080_TI))


class Watch:
    """Samples at a fixed interval, as the watch loop takes them."""

    def __init__(
        self, active: ProfileName | None = None, profiles=PROFILES, interval: float = INTERVAL
    ) -> None:
        self.state = Selection(active)
        self.profiles = profiles
        self.interval = interval
        self.at = 1000.0

    def see(self, survey: GpuSurvey, times: int = 1, **sample) -> list[ProfileName | None]:
        active = []
        for _ in range(times):
            self.state = step(self.state, Sample(self.at, survey, **sample), self.profiles, LIMITS)
            self.at += self.interval
            active.append(self.state.active)
        return active

    def chance(self, profile: ProfileName) -> Chance:
        return next(one.chance for one in self.state.profiles if one.profile == profile)


def changes(active: Sequence[ProfileName | None]) -> int:
    return sum(before != after for before, after in pairwise(active))


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (THREE, MAX),
        ((busy(RTX_5080), RTX_3060, GTX_1080_TI), MID),
        ((RTX_5080, RTX_3060), FALLBACK),
        ((RTX_5080, GTX_1080_TI), CPU_ONLY),
        ((RTX_5080, busy(RTX_3060), GTX_1080_TI), CPU_ONLY),
        ((), CPU_ONLY),
    ],
)
def test_the_first_profile_whose_gpus_are_all_free(gpus: tuple[Gpu, ...], expected: ProfileName) -> None:
    assert Watch().see(GpuSurvey(gpus)) == [expected]


def test_a_game_takes_the_card_after_three_samples_and_gives_it_back_when_it_has_settled() -> None:
    watch = Watch()
    assert watch.see(FREE) == [MAX]
    assert watch.see(GAMING, 3) == [MAX, MAX, MID]
    assert watch.see(GAMING, 100) == [MID] * 100
    assert watch.see(FREE, 6) == [MID, MID, MID, MID, MID, MAX]


def test_loading_screens_do_not_bring_the_profile_back() -> None:
    watch = Watch()
    watch.see(FREE)
    session = [survey for _ in range(50) for survey in (*[GAMING] * 5, *[FREE] * 2)]
    seen = [watch.see(survey)[0] for survey in session]
    assert changes([MAX, *seen]) == 1


def test_a_load_that_swings_around_the_threshold_at_each_sample_changes_nothing() -> None:
    for first in (49, 51):
        watch = Watch()
        watch.see(GpuSurvey((replace(RTX_5080, utilisation=first), RTX_3060, GTX_1080_TI)))
        held = watch.state.active
        for swing in range(500):
            load = 49 if swing % 2 else 51
            seen = watch.see(GpuSurvey((replace(RTX_5080, utilisation=load), RTX_3060, GTX_1080_TI)))
            assert seen == [held]


def _swings(spells: Iterable[tuple[int, int]]) -> list[GpuSurvey]:
    return [survey for free, gaming in spells for survey in [FREE] * free + [GAMING] * gaming]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=60))
def test_no_load_makes_the_profile_flap(spells: list[tuple[int, int]]) -> None:
    """However other work comes and goes: returns grow rare, up to one in a quarter of an hour."""
    watch = Watch(interval=15.0)
    seen = [watch.see(survey)[0] for survey in _swings(spells)]
    returns = [n for n in range(1, len(seen)) if (seen[n - 1], seen[n]) == (MID, MAX)]
    hours = len(seen) * watch.interval / 3600
    # 30 s, 1, 2, 4, 8 and then 15 minutes of quiet are needed before a return.
    assert len(returns) <= 5 + hours * 3600 / SETTLE_SECONDS_MAX
    assert changes(seen) <= 2 * len(returns) + 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 49, 50, 95, None]), st.sampled_from([0.5, 2.0, 2.1, 15.0])), max_size=80
    )
)
def test_the_active_profile_always_has_its_gpus_and_changes_have_a_cause(
    looks: list[tuple[int | None, float]],
) -> None:
    watch = Watch()
    watch.see(FREE)
    for load, free in looks:
        before = watch.state
        gpu = card(0, RTX_5080.name, total=16, free=free, load=load)
        watch.see(GpuSurvey((gpu, RTX_3060, GTX_1080_TI)))
        assert watch.chance(watch.state.active or CPU_ONLY) is Chance.POSSIBLE
        if watch.state.active == before.active:
            assert watch.state.changed_at == before.changed_at
        elif watch.state.active == MAX:
            assert watch.at - INTERVAL - (before.changed_at or 0) >= before.settle


def test_frequent_returns_wait_longer_and_a_long_stay_is_trusted_again() -> None:
    watch = Watch()
    watch.see(FREE)

    def samples_until_return() -> int:
        watch.see(GAMING, 3)
        return next(n for n in range(1, 1000) if watch.see(FREE) == [MAX])

    waits = [samples_until_return() for _ in range(8)]
    assert waits == [6, 9, 15, 27, 51, 93, 93, 93]
    watch.see(FREE, 90)
    assert samples_until_return() == 6


def test_a_lockout_is_obeyed_at_once_and_unlocking_needs_three_good_samples() -> None:
    watch = Watch()
    watch.see(FREE)
    assert watch.see(FREE, locked={RTX_5080.uuid: "Gaming session"}) == [MID]
    locked = next(one for one in watch.state.profiles if one.profile == MAX)
    assert locked.why_not == ("NVIDIA GeForce RTX 5080: locked: Gaming session",)
    assert watch.see(FREE, 50, locked={RTX_5080.uuid: "Gaming session"}) == [MID] * 50
    assert watch.see(FREE, 6) == [MID] * 5 + [MAX]


def test_locking_often_does_not_make_the_return_slow() -> None:
    watch = Watch()
    watch.see(FREE)
    for _ in range(5):
        watch.see(FREE, locked={RTX_5080.uuid: "a person"})
        assert watch.see(FREE, 6)[-1] == MAX


def test_our_own_load_keeps_the_profile() -> None:
    ours = OwnUse(frozenset({40}))
    working = tuple(
        replace(gpu, utilisation=99, free=gpu.total // 20, processes=(process(40, gpu.total / 2**30, 99),))
        for gpu in THREE
    )
    assert Watch().see(GpuSurvey(working), 50, own=ours) == [MAX] * 50


@pytest.mark.parametrize("trouble", [t for t in GpuTrouble if not t.gone])
def test_a_driver_that_cannot_be_asked_changes_nothing(trouble: GpuTrouble) -> None:
    watch = Watch()
    watch.see(FREE)
    assert watch.see(blind(trouble), 50) == [MAX] * 50
    assert watch.see(FREE) == [MAX]


@pytest.mark.parametrize("active", [MAX, MID])
def test_a_driver_that_cannot_be_asked_at_the_start_keeps_what_was_active(active: ProfileName) -> None:
    assert Watch(active).see(blind(), 5) == [active] * 5


def test_a_driver_that_never_could_be_asked_leaves_the_cpu() -> None:
    assert Watch().see(blind(GpuTrouble.NO_LIBRARY)) == [CPU_ONLY]


@pytest.mark.parametrize("trouble", list(GpuTrouble))
def test_one_gpu_that_fails_is_lost_only_when_it_is_said_to_be(trouble: GpuTrouble) -> None:
    watch = Watch()
    watch.see(FREE)
    partial = GpuSurvey((RTX_3060, GTX_1080_TI), (failed(trouble, RTX_5080, "nvmlDeviceGetMemoryInfo"),))
    assert watch.see(partial, 10) == [MID if trouble.gone else MAX] * 10


def test_a_gpu_that_was_taken_out_is_gone_at_once_and_back_when_it_has_settled() -> None:
    watch = Watch()
    watch.see(FREE)
    assert watch.see(GpuSurvey((RTX_3060, GTX_1080_TI))) == [MID]
    assert watch.see(FREE, 4) == [MID, MID, MID, MAX]


def test_no_profile_is_entered_blindly() -> None:
    watch = Watch()
    watch.see(FREE)
    watch.see(GAMING, 3)
    assert watch.see(FREE, 3) == [MID] * 3
    partial = GpuSurvey((RTX_3060, GTX_1080_TI), (failed(GpuTrouble.TIMEOUT, RTX_5080, "nvmlDeviceGetName"),))
    assert watch.see(partial, 20) == [MID] * 20
    assert watch.chance(MAX) is Chance.UNKNOWN


def test_without_a_way_out_busy_is_endured_but_a_lockout_is_not() -> None:
    watch = Watch(profiles={MAX: PROFILES[MAX]})
    watch.see(FREE)
    assert watch.see(GAMING, 10) == [MAX] * 10
    assert watch.chance(MAX) is Chance.BUSY
    assert watch.see(FREE, locked={RTX_5080.uuid: "mine"}) == [None]
    assert watch.see(FREE, 3)[-1] == MAX


def test_a_profile_that_flips_does_not_keep_a_steady_one_from_returning() -> None:
    watch = Watch()
    watch.see(GpuSurvey((RTX_5080, busy(RTX_3060), GTX_1080_TI)))
    assert watch.state.active == CPU_ONLY
    seen = [watch.see(survey)[0] for survey in _swings([(3, 4)] * 5)]
    assert seen[5:] == [MID] * 30


def test_profiles_that_left_the_spec_are_left() -> None:
    watch = Watch()
    watch.see(FREE)
    watch.profiles = {MID: PROFILES[MID], CPU_ONLY: ()}
    assert watch.see(FREE) == [MID]


TWIN = replace(RTX_3060, uuid="GPU-9", index=3)


def test_a_second_card_of_the_same_name_moves_nothing_that_runs() -> None:
    watch = Watch()
    assert watch.see(FREE) == [MAX]
    assert set(watch.see(GpuSurvey((*THREE, TWIN)), 100)) == {MAX}
    assert watch.chance(MAX) is Chance.UNKNOWN
    assert set(watch.see(FREE, 10)) == {MAX}


def test_a_profile_whose_cards_cannot_be_told_apart_is_not_entered() -> None:
    twins = GpuSurvey((*THREE, TWIN))
    assert set(Watch().see(twins, 20)) == {CPU_ONLY}
    assert set(Watch(MID).see(twins, 20)) == {MID}


def test_a_profile_with_twins_falls_when_another_card_of_it_is_taken_or_gone() -> None:
    watch = Watch()
    watch.see(FREE)
    assert watch.see(GpuSurvey((busy(RTX_5080), RTX_3060, GTX_1080_TI, TWIN)), 5)[-1] == CPU_ONLY
    watch = Watch()
    watch.see(FREE)
    assert watch.see(GpuSurvey((RTX_3060, GTX_1080_TI, TWIN))) == [CPU_ONLY]


def after_a_restart(active: ProfileName) -> Watch:
    watch = Watch()
    watch.state = Selection(active, goes_on=True)
    return watch


def test_a_watcher_that_starts_again_is_not_misled_by_its_first_look() -> None:
    watch = after_a_restart(MAX)
    assert watch.see(GAMING) == [MAX]
    assert set(watch.see(FREE, 20)) == {MAX}


def test_a_watcher_that_starts_again_goes_on_as_if_it_had_looked_before() -> None:
    assert after_a_restart(MAX).see(GAMING, 4) == [MAX, MAX, MID, MID]
    assert after_a_restart(MID).see(FREE, 4) == [MID, MID, MID, MAX]


def test_after_a_restart_a_card_that_is_gone_or_locked_is_left_at_once() -> None:
    assert after_a_restart(MAX).see(GpuSurvey((RTX_3060, GTX_1080_TI))) == [MID]
    assert after_a_restart(MAX).see(FREE, locked={RTX_5080.uuid: "game"}) == [MID]
    assert after_a_restart(ProfileName("of another spec")).see(FREE) == [MAX]
