from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from reconciler.core.types import Bytes
from reconciler.placement.devices import MARGIN, Device, Host, known_bandwidth
from reconciler.placement.memory import Model, Split, estimate
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, Unplaced, by_shares, fit, seconds_per_token
from tests.placement import shapes

GIB = 1024**3
FAST, MIDDLE, SLOW = 960e9, 484e9, 360e9
HOST = Host(Bytes(64 * GIB))
SETTINGS = Settings(16384, parallel=4)
ALONE = Settings(16384, parallel=4, op_offload=False)


def device(name: str, gib: float, bandwidth: float) -> Device:
    return Device(name, Bytes(int(gib * GIB)), bandwidth)


CARDS = (device("a", 15, FAST), device("b", 11, SLOW), device("c", 10, MIDDLE))


def placed(found: Placement | Unplaced) -> Placement:
    assert isinstance(found, Placement), found
    return found


def splits(slots: int, lanes: int) -> Iterator[tuple[int, ...]]:
    for cuts in product(range(slots + 1), repeat=lanes - 1):
        if sum(cuts) <= slots:
            yield (*cuts, slots - sum(cuts))


def test_a_model_that_fits_on_the_fastest_gpu_stays_there(model):
    found = placed(fit(model("qwen2.5-7b"), SETTINGS, CARDS, HOST))
    assert found.devices == ("a",)
    assert found.flags == ("--gpu-layers", "29", "--split-mode", "none")


def test_no_gpu_means_the_cpu(model):
    found = placed(fit(model("qwen3-4b"), SETTINGS, (), HOST))
    assert found.devices == ()
    assert found.flags == ("--device", "none")
    assert found.split.cpu == model("qwen3-4b").slots


def test_layers_that_fit_on_no_gpu_stay_in_ram_and_the_kv_of_the_others_does_not(model):
    seventy = model("llama-3.1-70b")
    found = placed(fit(seventy, SETTINGS, CARDS, HOST))
    assert found.devices == ("a", "b", "c")
    assert 0 < found.split.cpu < 40
    assert found.flags[:2] == ("--gpu-layers", str(seventy.slots - found.split.cpu))
    assert sum(map(int, found.flags[-1].split(","))) == seventy.slots - found.split.cpu


def test_experts_overflow_into_ram_by_whole_layers_while_attention_stays_on_the_gpus(model):
    found = placed(fit(model("qwen3-235b-a22b"), SETTINGS, CARDS, Host(Bytes(160 * GIB))))
    assert found.split.cpu == 0
    assert found.split.expert_layers_on_cpu > 60
    assert found.flags[-2:] == ("--n-cpu-moe", str(found.split.expert_layers_on_cpu))


@pytest.mark.parametrize("name", shapes.NAMES)
def test_what_is_placed_is_within_every_budget_and_beats_equal_shares(name, model):
    host = Host(Bytes(400 * GIB))
    found = placed(fit(model(name), SETTINGS, CARDS, host))
    budgets = {card.id: card.budget for card in CARDS}
    for id_, taken in zip(found.devices, found.report.devices, strict=True):
        assert taken.total <= budgets[id_]
    assert found.report.host.total <= host.budget
    equal = by_shares(model(name), SETTINGS, CARDS, host, [1, 1, 1])
    if isinstance(equal, Placement):
        assert found.seconds_per_token <= equal.seconds_per_token


def cut_down(whole: Model, layers: int) -> Model:
    """The same model with fewer layers."""
    architecture = replace(whole.architecture, layers=whole.architecture.layers[:layers])
    weights = replace(whole.weights, layers=whole.weights.layers[:layers])
    return replace(whole, architecture=architecture, weights=weights, kinds=whole.kinds[:layers])


@pytest.mark.parametrize("name", ["llama-3.1-70b", "gemma-3-12b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("room", [0.3, 0.55, 0.8, 1.2])
def test_no_split_of_a_short_model_is_faster(name, room, model):
    """Against all splits, with 3 % less room for those: ours must fit with buffers of the whole model."""
    short = cut_down(model(name), 7)
    layer = estimate(short, ALONE, Split(short.slots, ())).host.total
    cards = [
        Device("a", Bytes(int(layer * room * 0.5) + MARGIN), FAST),
        Device("b", Bytes(int(layer * room * 0.9) + MARGIN), SLOW),
    ]
    found = fit(short, ALONE, cards, HOST)
    best = min(
        (
            seconds
            for cpu, *counts in splits(short.slots, 3)
            for experts in range(short.slots if short.architecture.experts and not cpu else 1)
            if (seconds := tried(short, cpu, tuple(counts), experts, cards)) is not None
        ),
        default=None,
    )
    assert best is None or placed(found).seconds_per_token <= best * 1.0001


def tried(model: Model, cpu: int, counts: tuple[int, ...], experts: int, cards: list[Device]) -> float | None:
    used = [(card, count) for card, count in zip(cards, counts, strict=True) if count]
    if experts and not used:
        return None
    split = Split(cpu, tuple(count for _, count in used), experts)
    report = estimate(model, ALONE, split)
    for (card, _), taken in zip(used, report.devices, strict=True):
        if taken.total > card.room * 0.97:
            return None
    return seconds_per_token(model, ALONE, split, [card.bandwidth for card, _ in used], HOST)


def test_shares_become_whole_layers_in_the_order_of_the_gpus(model):
    found = placed(by_shares(model("qwen2.5-7b"), SETTINGS, CARDS, HOST, [80, 15, 5]))
    assert found.devices == ("a", "b", "c")
    assert found.flags[-1] == "25,3,1"


def test_a_share_of_nothing_leaves_its_gpu_out(model):
    found = placed(by_shares(model("qwen2.5-7b"), SETTINGS, CARDS, HOST, [0, 50, 50]))
    assert found.devices == ("b", "c")


@pytest.mark.parametrize("shares", [[50, 50], [0, 0, 0], [-1, 50, 51]])
def test_shares_that_are_none_are_refused(shares, model):
    with pytest.raises(ValueError, match="no shares of 3 GPUs"):
        by_shares(model("qwen2.5-7b"), SETTINGS, CARDS, HOST, shares)


def test_shares_that_do_not_fit_say_by_how_much_and_what_does(model):
    found = by_shares(model("llama-3.1-70b"), SETTINGS, CARDS, HOST, [50, 30, 20])
    assert isinstance(found, Unplaced)
    assert found.short_by > GIB
    assert found.proposals[0].what == "a split without gpu_percentages"


def test_what_does_not_fit_is_proposed_with_a_shorter_context_or_smaller_cache_never_changed(model):
    eight, host = model("llama-3.1-8b"), Host(Bytes(2 * GIB))
    wanted = Settings(131072)
    found = fit(eight, wanted, (device("a", 12, FAST),), host)
    assert isinstance(found, Unplaced)
    assert 0 < found.short_by < 20 * GIB
    for proposal in found.proposals:
        assert isinstance(fit(eight, proposal.settings, (device("a", 12, FAST),), host), Placement)
    assert [proposal.what for proposal in found.proposals] == [
        "cache types q8_0",
        "context of 65536 tokens",
    ]


def test_cache_types_that_the_heads_do_not_allow_are_not_proposed(model):
    eight = model("llama-3.1-8b")
    odd = tuple(replace(layer, key_length=80, value_length=80) for layer in eight.architecture.layers)
    eighty = replace(eight, architecture=replace(eight.architecture, layers=odd))
    found = fit(eighty, Settings(131072), (device("a", 8, FAST),), Host(Bytes(2 * GIB)))
    assert isinstance(found, Unplaced)
    assert all("q8_0" not in proposal.what for proposal in found.proposals)


def test_what_is_short_is_enough(model):
    seventy = model("llama-3.1-70b")
    small = Host(Bytes(4 * GIB))
    found = fit(seventy, SETTINGS, CARDS, small)
    assert isinstance(found, Unplaced)
    larger = Host(Bytes(small.budget + found.short_by))
    assert isinstance(fit(seventy, SETTINGS, CARDS, larger), Placement)


def test_a_model_that_fits_nowhere_has_no_proposal(model):
    found = fit(model("deepseek-v3"), SETTINGS, CARDS, HOST)
    assert isinstance(found, Unplaced)
    assert found.proposals == ()


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("NVIDIA GeForce RTX 5080", 960),
        ("NVIDIA GeForce GTX 1080 Ti", 484),
        ("NVIDIA GeForce RTX 3060", 360),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 672),
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA H100 PCIe", 2000),
        ("NVIDIA L40S", 864),
        ("Apple M2 Ultra", 800),
    ],
)
def test_bandwidth_is_known_by_name(name, gigabytes):
    assert known_bandwidth(name) == gigabytes * 1e9


def test_an_unknown_gpu_has_no_known_bandwidth():
    assert known_bandwidth("Voodoo 3 3000") is None
