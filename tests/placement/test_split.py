import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from math import inf

import pytest

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.placement.devices import MARGIN, Device, Host, known_bandwidth
from reconciler.placement.memory import Model, Split, estimate
from reconciler.placement.overflow import Overflow
from reconciler.placement.pace import seconds_per_token
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, Unplaced, by_shares, fit
from tests.placement import shapes

GIB = 1024**3
FAST, MIDDLE, SLOW = 960e9, 484e9, 360e9
HOST = Host(Bytes(64 * GIB))
SETTINGS = Settings(16384, parallel=4)
ALONE = Settings(16384, parallel=4, op_offload=False)


def device(name: str, gib: float, bandwidth: float) -> Device:
    return Device(name, Bytes(int(gib * GIB)), bandwidth)


TENSORS = (
    "attn_norm.weight", "attn_q.weight", "attn_output.weight", "ffn_norm.weight", "ffn_gate.weight",
    "ffn_up.weight", "ffn_down.weight", "ffn_gate_inp.weight", "ffn_gate_exps.weight", "ffn_up_exps.weight",
    "ffn_down_exps.weight", "ffn_down_shexp.weight",
)  # fmt: skip
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
    assert found.flags(found.devices) == ("--gpu-layers", "29", "--split-mode", "none")


def test_no_gpu_means_the_cpu(model):
    found = placed(fit(model("qwen3-4b"), SETTINGS, (), HOST))
    assert found.devices == ()
    assert found.flags(found.devices) == ("--device", "none")
    assert found.split.cpu == model("qwen3-4b").slots


def flag(found: Placement, name: str) -> str:
    flags = found.flags(found.devices)
    return flags[flags.index(name) + 1]


def test_layers_that_fit_on_no_gpu_stay_in_ram_and_the_kv_of_the_others_does_not(model):
    seventy = model("llama-3.1-70b")
    found = placed(fit(seventy, SETTINGS, CARDS, HOST))
    assert found.devices == ("a", "b", "c")
    assert 0 < found.split.cpu < 40
    assert flag(found, "--gpu-layers") == str(seventy.slots - found.split.cpu)
    assert sum(map(int, flag(found, "--tensor-split").split(","))) == seventy.slots - found.split.cpu


def test_gaps_are_filled_with_layers_whose_feed_forward_stays_in_ram_in_part(model):
    seventy = model("llama-3.1-70b")
    found = placed(fit(seventy, ALONE, CARDS, HOST))
    smallest = min(filter(None, seventy.weights.layers[0].feed_forward))
    for card, taken in zip(CARDS, found.report.devices, strict=True):
        assert 0 <= card.room - taken.total < smallest
    check_patterns(found, 80)


def test_gaps_are_filled_with_layers_whose_experts_stay_in_ram_in_part(model):
    next_ = model("qwen3-next-80b")
    found = placed(fit(next_, ALONE, CARDS, HOST))
    assert found.split.cpu == 0
    assert 0 < found.split.expert_layers_on_cpu < 10
    smallest = min(filter(None, next_.weights.layers[0].feed_forward))
    for card, taken in zip(CARDS, found.report.devices, strict=True):
        assert 0 <= card.room - taken.total < smallest
    check_patterns(found, 48)


def check_patterns(found: Placement, layers: int) -> None:
    """A handful of patterns, which mean what stays in RAM and nothing else."""
    patterns = flag(found, "--override-tensor").split(",")
    assert len(patterns) <= 3
    for pattern in patterns:
        expression, _, place = pattern.rpartition("=")
        assert place == "CPU"
        assert expression.startswith(r"^blk\.")
    names = [f"blk.{layer}.{name}" for layer in range(layers) for name in TENSORS]
    left = {name for name in names for pattern in patterns if re.search(pattern.removesuffix("=CPU"), name)}
    assert left == {
        f"blk.{one.layer}.ffn_{part}.weight" for one in found.split.overflow for part in one.parts
    }


def test_a_shared_layer_keeps_llama_cpp_from_copying_inputs_where_those_do_not_fit(model):
    eight, wanted = model("llama-3.1-8b"), Settings(131072, op_offload=False)
    halves = estimate(eight, wanted, Split(0, (16, 17), overflow=(Overflow(0, ("down",)),)))
    whole = estimate(eight, wanted, Split(0, (16, 17)))
    assert whole.devices[1].total > halves.devices[1].total + GIB // 8
    cards = [
        Device(str(number), Bytes(part.total + MARGIN + GIB // 9), FAST)
        for number, part in enumerate(halves.devices)
    ]
    found = placed(fit(eight, wanted, cards, HOST))
    assert found.split.cpu == 0
    assert len(found.split.shared) == 1
    assert not found.split.overflow


def test_a_model_that_fits_keeps_all_its_weights_on_gpus(model):
    for name in ("qwen2.5-7b", "llama-3.1-8b", "gemma-3-12b"):
        for count in (1, 2, 3):
            assert placed(fit(model(name), SETTINGS, CARDS[:count], HOST)).split.whole


def test_experts_overflow_into_ram_while_attention_stays_on_the_gpus(model):
    found = placed(fit(model("qwen3-235b-a22b"), SETTINGS, CARDS, Host(Bytes(160 * GIB))))
    assert found.split.cpu == 0
    assert found.split.expert_layers_on_cpu > 60
    assert flag(found, "--n-cpu-moe") == str(found.split.expert_layers_on_cpu)


def test_where_the_context_alone_is_too_much_some_layers_stay_in_ram_and_the_experts_of_all(model):
    found = placed(fit(model("qwen3-235b-a22b"), Settings(131072), CARDS[:2], Host(Bytes(200 * GIB))))
    assert 0 < found.split.cpu < 40
    assert found.split.expert_layers_on_cpu > 80
    assert flag(found, "--n-cpu-moe") == str(found.split.expert_layers_on_cpu)


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
    cards = two_cards(short, room)
    found = fit(short, ALONE, cards, HOST)
    tried = (
        (counts, Split(cpu, tuple(count for count in counts if count), experts))
        for cpu, *counts in splits(short.slots, 3)
        for experts in range(short.slots if short.architecture.experts and not cpu and any(counts) else 1)
    )
    best = fastest(short, cards, tried)
    assert placed(found).seconds_per_token <= best * 1.0001


@pytest.mark.parametrize(
    "name", ["llama-3.1-70b", "gemma-3-12b", "qwen3-30b-a3b", "qwen3-next-80b", "granite-4-h-small"]
)
@pytest.mark.parametrize("room", [0.2, 0.35, 0.5, 0.65])
def test_no_feed_forward_weights_in_ram_make_it_faster(name, room, model):
    """Against all splits with any of them in RAM, of as many layers as one likes."""
    short = cut_down(model(name), 5)
    cards = two_cards(short, room)
    found = placed(fit(short, ALONE, cards, HOST))
    assert not found.split.whole
    tried = (
        (counts, Split(cpu, tuple(count for count in counts if count), overflow=overflow))
        for cpu, *counts in splits(short.slots, 3)
        if any(counts)
        for overflow in overflows(short, cpu)
    )
    assert found.seconds_per_token <= fastest(short, cards, tried) * 1.0001


@pytest.mark.parametrize("name", ["llama-3.1-70b", "qwen3-30b-a3b"])
@pytest.mark.parametrize("room", [0.72, 0.76, 0.8, 0.86, 0.92])
def test_no_layer_that_two_devices_share_makes_it_faster(name, room, model):
    """Where all fits on both, against all ways to share the layer between them."""
    short = cut_down(model(name), 9)
    cards = two_cards(short, room)
    found = placed(fit(short, ALONE, cards, HOST))
    tried = (
        ([count, short.slots - count], Split(0, (count, short.slots - count), shared=shared))
        for count in range(2, short.slots - 1)
        for shared in [(), *((Overflow(count - 1, parts),) for parts in short.divisions(count - 1).values())]
    )
    assert found.seconds_per_token <= fastest(short, cards, tried) * 1.02


def test_two_gpus_share_a_layer_where_that_is_much_faster(model):
    wanted = Settings(131072, type_k=tensor_type("q8_0"), type_v=tensor_type("q8_0"), op_offload=False)
    cards = [Device("a", Bytes(15 * GIB + MARGIN), FAST), Device("b", Bytes(11 * GIB + MARGIN), SLOW)]
    found = placed(fit(model("qwen3-30b-a3b"), wanted, cards, HOST))
    assert flag(found, "--tensor-split") == "31,18"
    assert flag(found, "--override-tensor") == r"^blk\.30\.ffn_(up_exps|down_exps)\.=b"


def overflows(model: Model, cpu: int) -> Iterator[tuple[Overflow, ...]]:
    layers = range(cpu, model.architecture.running_layers)
    ways = [[(), *model.divisions(layer).values()] for layer in layers]
    for parts in product(*ways):
        yield tuple(Overflow(layer, left) for layer, left in zip(layers, parts, strict=True) if left)


def fastest(model: Model, cards: list[Device], tried: Iterable[tuple[list[int], Split]]) -> float:
    """Endless when none of them fits."""
    best = inf
    for counts, split in tried:
        used = [card for card, count in zip(cards, counts, strict=True) if count]
        seconds = seconds_per_token(model, ALONE, split, [card.bandwidth for card in used], HOST)
        if seconds < best and fits(model, split, used):
            best = seconds
    return best


def fits(model: Model, split: Split, used: list[Device]) -> bool:
    parts = estimate(model, ALONE, split).devices
    return all(part.total <= card.room * 0.97 for card, part in zip(used, parts, strict=True))


def two_cards(model: Model, room: float) -> list[Device]:
    whole = estimate(model, ALONE, Split(model.slots, ())).host.total
    return [
        Device("a", Bytes(int(whole * room * 0.5) + MARGIN), FAST),
        Device("b", Bytes(int(whole * room * 0.9) + MARGIN), SLOW),
    ]


def test_shares_become_whole_layers_in_the_order_of_the_gpus(model):
    found = placed(by_shares(model("qwen2.5-7b"), SETTINGS, CARDS, HOST, [80, 15, 5]))
    assert found.devices == ("a", "b", "c")
    assert found.flags(found.devices)[-1] == "25,3,1"


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


def test_no_context_beyond_the_trained_one_is_proposed(model):
    found = fit(model("llama-3.1-8b"), Settings(10**12), (device("a", 48, FAST),), Host(Bytes(2 * GIB)))
    assert isinstance(found, Unplaced)
    assert [proposal.what for proposal in found.proposals] == ["context of 131072 tokens"]


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
