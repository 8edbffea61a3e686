"""Ours against llama.cpp's own accounting: weights and caches exact, no device's total far off."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.types import Bytes
from reconciler.placement.devices import Host
from reconciler.placement.memory import Model, Split, read_model_figures
from reconciler.placement.pace import hops
from reconciler.placement.split import Placement, fit
from tests.placement import shapes
from tests.placement.oracle import (
    DOCUMENT,
    MIB,
    Case,
    Row,
    ask,
    compare,
    handovers,
    measure,
    ours,
    overflowing_case,
    random_case,
    settings_of,
    shared_case,
    table,
    tight_case,
    written,
)

MOST_OVER = 3.0
MOST_OVER_RECURRENT = 8.0
"""Where a device has little but the logits, reckoned above all states."""
MOST_UNDER = -1.0
CASES = 24
"""Random splits per shape."""
SMALL = 4
"""MiB: sums of three figures that llama.cpp prints rounded down."""
MOST_ODD = 24
"""MiB: what unusual settings were seen to be off, on the host mostly, where little is used."""


def most_over(model: Model) -> float:
    recurrent = any(layer.recurrent for layer in model.architecture.layers)
    return MOST_OVER_RECURRENT if recurrent else MOST_OVER


def check(rows: Sequence[Row], small: int = SMALL) -> None:
    inexact = [row for row in rows if row.ours[:2] != row.theirs[:2]]
    assert not inexact, f"weights or caches differ: {inexact[:3]}"
    off = [
        row
        for row in rows
        if not MOST_UNDER <= row.error <= MOST_OVER and abs(sum(row.ours) - sum(row.theirs)) > small
    ]
    assert not off, "\n".join(f"{row} {row.error:+.1f} %" for row in off)


@pytest.mark.parametrize("name", ["qwen2.5-7b", "gemma-3-12b", "qwen3-30b-a3b", "granite-4-h-small"])
def test_memory_is_what_llama_cpp_says(name: str, models: Path, devices: tuple[str, ...]):
    check(measure(models, devices, names=[name], contexts=[16384], caches=["f16", "q8_0"]))


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-3-12b", "deepseek-v2-lite"])
@pytest.mark.parametrize(
    "setting",
    [
        (("-ub", "2048"), {"ubatch": 2048}),
        (("-fa", "off"), {"flash_attention": False}),
        (("--no-kv-offload",), {"kv_offload": False}),
        (("--swa-full",), {"swa_full": True}),
    ],
    ids=["large steps", "no flash attention", "cache in RAM", "whole windows"],
)
def test_other_settings_are_followed(
    name: str,
    setting: tuple[tuple[str, ...], dict[str, Any]],
    models: Path,
    devices: tuple[str, ...],
    model: Callable[[str], Model],
):
    flags, changes = setting
    one = model(name)
    case = Case(8192, "f16", 1, "", Split(0, (one.slots,)))
    own = ours(one, replace(settings_of(case), **changes), case.split)
    check(
        [
            Row(name, case, device, mine, theirs)
            for device, (mine, theirs) in enumerate(
                zip(own, ask(models / f"{name}.gguf", case, devices, flags), strict=True)
            )
        ],
        small=MOST_ODD,
    )


def test_prediction_blocks_take_a_layer_but_no_memory(models: Path, devices: tuple[str, ...]):
    predicting = shapes.deepseek_v3(prediction=True)
    path = shapes.write(predicting, models)
    one = read_model_figures(shapes.header(path))
    assert one.slots == 63
    for split in (Split(0, (63,)), Split(0, (20, 20, 23)), Split(10, (20, 33))):
        check(compare(predicting.name, one, path, Case(8192, "f16", 1, "", split), devices))


@pytest.mark.parametrize("name", shapes.NAMES)
def test_no_device_of_any_split_takes_more_than_reckoned(
    name: str, models: Path, devices: tuple[str, ...], model: Callable[[str], Model]
):
    one = model(name)
    choice = random.Random(name)
    for _ in range(CASES):
        case = random_case(one, choice)
        for row in compare(name, one, models / f"{name}.gguf", case, devices):
            assert row.ours[:2] == row.theirs[:2], row
            short = sum(row.theirs) - sum(row.ours)
            assert row.error >= MOST_UNDER or short <= SMALL, f"{row} {row.error:+.1f} %"


@pytest.mark.parametrize("name", shapes.NAMES)
def test_feed_forward_weights_in_ram_of_any_layers_are_reckoned(
    name: str, models: Path, devices: tuple[str, ...], model: Callable[[str], Model]
):
    one = model(name)
    choice = random.Random(name)
    for _ in range(CASES):
        case = overflowing_case(one, choice)
        rows = compare(name, one, models / f"{name}.gguf", case, devices)
        ours_in_all, theirs_in_all = sum(sum(row.ours) for row in rows), sum(sum(row.theirs) for row in rows)
        assert MOST_UNDER <= 100 * (ours_in_all / theirs_in_all - 1) <= most_over(one), case
        for row in rows:
            assert row.ours[:2] == row.theirs[:2], row
            short = sum(row.theirs) - sum(row.ours)
            assert row.error >= MOST_UNDER or short <= SMALL, f"{row} {row.error:+.1f} %"


@pytest.mark.parametrize("name", shapes.NAMES)
def test_layers_that_two_devices_share_are_reckoned(
    name: str, models: Path, devices: tuple[str, ...], model: Callable[[str], Model]
):
    one, path = model(name), models / f"{name}.gguf"
    choice = random.Random(name)
    for number in range(CASES // 2):
        case = shared_case(one, choice)
        for row in compare(name, one, path, case, devices):
            assert row.ours[:2] == row.theirs[:2], row
            short = sum(row.theirs) - sum(row.ours)
            assert row.error >= MOST_UNDER or short <= SMALL, f"{row} {row.error:+.1f} %"
        if number < 3:
            assert hops(one, case.split) + 1 == handovers(path, case, devices), case


@pytest.mark.parametrize("name", shapes.NAMES)
def test_what_is_chosen_for_too_little_memory_fits_by_llama_cpps_own_figures(
    name: str, models: Path, devices: tuple[str, ...], model: Callable[[str], Model]
):
    one, path = model(name), models / f"{name}.gguf"
    choice = random.Random(name)
    for _ in range(CASES // 3):
        case, cards = tight_case(one, choice, (0.5, 0.95))
        found = fit(one, settings_of(case), cards, Host(Bytes(256 * 1024**3)))
        assert isinstance(found, Placement)
        assert not found.split.whole
        used = [card for card in cards if card.id in found.devices]
        case = replace(case, split=found.split)
        for card, row in zip(used, compare(name, one, path, case, devices), strict=False):
            assert row.ours[:2] == row.theirs[:2], row
            assert sum(row.theirs) * MIB <= card.budget, row
            over = sum(row.ours) - sum(row.theirs)
            assert over <= SMALL or row.error <= most_over(one), f"{row} {row.error:+.1f} %"


@pytest.mark.parametrize("name", shapes.NAMES)
def test_what_is_chosen_where_all_just_fits_does(
    name: str, models: Path, devices: tuple[str, ...], model: Callable[[str], Model]
):
    one, path = model(name), models / f"{name}.gguf"
    choice = random.Random(name)
    for _ in range(CASES // 3):
        case, cards = tight_case(one, choice, (1.02, 1.2))
        found = fit(one, settings_of(case), cards, Host(Bytes(256 * 1024**3)))
        assert isinstance(found, Placement)
        used = [card for card in cards if card.id in found.devices]
        case = replace(case, split=found.split)
        for card, row in zip(used, compare(name, one, path, case, devices), strict=False):
            assert row.ours[:2] == row.theirs[:2], row
            assert sum(row.theirs) * MIB <= card.budget, row


@pytest.mark.parametrize("name", shapes.NAMES)
def test_devices_hand_over_as_often_as_llama_cpp_splits_its_graph(
    name: str, models: Path, devices: tuple[str, ...], model: Callable[[str], Model]
):
    one, path = model(name), models / f"{name}.gguf"
    choice = random.Random(name)
    for _ in range(6):
        case = overflowing_case(one, choice)
        from_the_embeddings = int(case.split.cpu == 0)
        assert hops(one, case.split) + from_the_embeddings == handovers(path, case, devices), case


@pytest.mark.slow
def test_memory_is_what_llama_cpp_says_over_all_shapes(models: Path, devices: tuple[str, ...]):
    rows = measure(models, devices)
    print(table(rows))
    check(rows)
    document = DOCUMENT.read_text()
    assert document == written(document, table(rows)), "write it anew: python -m tests.placement.oracle"
