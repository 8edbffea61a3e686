"""Which GPUs a profile means."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.gpu import Gpu
from reconciler.core.types import ProfileName
from reconciler.gpu.profiles import ProfileMatch, match
from tests.gpu.cards import PROFILES, RTX_3060, RTX_5080, THREE, card

P = ProfileName("p")


def one(names: tuple[str, ...], gpus: tuple[Gpu, ...] = THREE) -> ProfileMatch:
    return match({P: names}, gpus)[0]


def indices(found: ProfileMatch) -> list[int]:
    assert found.faults == ()
    return [gpu.index for gpu in found.gpus]


def test_the_profiles_of_the_requirements_match_in_their_order() -> None:
    found = match(PROFILES, THREE)
    assert [m.profile for m in found] == list(PROFILES)
    assert [indices(m) for m in found] == [[0, 1, 2], [1, 2], [1], []]


def test_the_profiles_order_is_kept_not_that_of_the_bus() -> None:
    assert indices(one(("1080 ti", "nvidia geforce rtx 5080"))) == [2, 0]


def test_uuids_and_their_beginnings_name_a_gpu() -> None:
    gpus = (card(0, "A100", uuid="GPU-aa11"), card(1, "A100", uuid="GPU-ab22"), card(2, "A100", uuid="MIG-c"))
    assert indices(one(("GPU-ab22", "GPU-aa"), gpus)) == [1, 0]
    assert indices(one(("mig-c",), gpus)) == [2]


def test_a_slice_of_a_card_is_a_profile_of_its_own() -> None:
    gpus = (card(0, "A100 3g.20gb", uuid="MIG-a"), card(0, "A100 3g.20gb", uuid="MIG-b"), RTX_3060)
    assert indices(one(("MIG-b",), gpus)) == [0]
    for names in (("MIG-a", "MIG-b"), ("RTX 3060", "MIG-a"), ("3g.20gb", "3g.20gb")):
        (fault,) = one(names, gpus).faults
        assert fault.what == "profile p: CUDA gives a process one MIG slice and no GPU beside it, not 2"
        assert fault.hint == "name MIG-a alone"


def test_a_full_name_does_not_mean_a_longer_one() -> None:
    gpus = (card(0, "NVIDIA GeForce RTX 3060 Ti"), card(1, "NVIDIA GeForce RTX 3060"))
    assert indices(one(("RTX 3060",), gpus)) == [1]
    assert indices(one(("RTX 3060", "3060 Ti"), gpus)) == [1, 0]


def test_a_name_written_twice_means_two_cards() -> None:
    twins = (card(0, "RTX 3090"), card(1, "RTX 3090"))
    assert indices(one(("RTX 3090", "RTX 3090"), twins)) == [0, 1]


def test_a_vague_name_takes_what_a_precise_one_leaves() -> None:
    gpus = (RTX_5080, RTX_3060)
    assert indices(one(("RTX", "RTX 5080"), gpus)) == [1, 0]


def test_an_ambiguous_name_is_a_fault_that_lists_uuids() -> None:
    (fault,) = one(("RTX",)).faults
    assert (
        fault.what == "profile p: 'RTX' fits 2 GPUs: "
        "NVIDIA GeForce RTX 5080 (GPU-0), NVIDIA GeForce RTX 3060 (GPU-1)"
    )
    assert "UUID" in fault.hint


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    (fault,) = one(("RTX 5800",)).faults
    assert fault.what == "profile p: no GPU here fits 'RTX 5800'"
    assert fault.hint == "did you mean 'NVIDIA GeForce RTX 5080'?"


def test_a_name_like_none_is_answered_with_what_is_there() -> None:
    (fault,) = one(("Instinct MI300X",), (RTX_5080,)).faults
    assert fault.hint == "here are: NVIDIA GeForce RTX 5080"
    (fault,) = one(("RTX 5080",), ()).faults
    assert fault.hint == "no GPU is visible: `modelctl gpu` says why"


def test_too_few_cards_of_a_name_are_a_fault_said_once() -> None:
    (fault,) = one(("RTX 5080", "RTX 5080")).faults
    assert fault.what == "profile p: 'RTX 5080' is named 2 times, but there is only 1 such GPU for it"


def test_a_card_is_never_given_twice() -> None:
    found = one(("RTX 5080", "5080"))
    assert [gpu.index for gpu in found.gpus] == [0]
    assert [fault.what for fault in found.faults] == [
        "profile p: the GPU that '5080' fits is already taken by another name"
    ]


def test_an_empty_name_fits_nothing() -> None:
    assert one((" ",)).faults[0].what == "profile p: no GPU here fits ' '"


@settings(deadline=None)
@given(st.permutations(THREE), st.permutations(PROFILES[ProfileName("max")]))
def test_neither_order_changes_which_card_a_name_means(gpus: list[Gpu], names: list[str]) -> None:
    found = one(tuple(names), tuple(gpus))
    assert all(name in gpu.name for name, gpu in zip(names, found.gpus, strict=True))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["RTX", "5080", "3060", "GTX", "GPU-1", "Ti", "Arc"]), max_size=4),
    st.sets(st.sampled_from(THREE)),
)
def test_every_name_gets_its_own_fitting_card_or_a_fault(names: list[str], gpus: set[Gpu]) -> None:
    found = one(tuple(names), tuple(gpus))
    assert len({gpu.uuid for gpu in found.gpus}) == len(found.gpus)
    faulty = {fault.gpu for fault in found.faults}
    good = [name for name in names if name not in faulty]
    assert len(good) == len(found.gpus)
    assert all(n in g.name or n == g.uuid for n, g in zip(good, found.gpus, strict=True))
    if not faulty:
        ways = {
            tuple(sorted(g.uuid for g in way))
            for way in itertools.permutations(gpus, len(names))
            if all(n in g.name or n == g.uuid for n, g in zip(names, way, strict=True))
        }
        assert tuple(sorted(g.uuid for g in found.gpus)) in ways
