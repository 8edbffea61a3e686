import re

import pytest

from reconciler.placement.overflow import PARTS, Overflow, choices, override_pattern


def test_layers_of_which_the_same_parts_stay_in_ram_share_a_pattern():
    overflow = [Overflow(60, ("up", "down")), Overflow(7, ("down",)), Overflow(61, ("up", "down"))]
    assert override_pattern(overflow) == r"^blk\.(60|61)\.ffn_(up|down)\.=CPU,^blk\.7\.ffn_down\.=CPU"


@pytest.mark.parametrize(
    "name",
    ["blk.16.ffn_down.weight", "blk.6.ffn_up.weight", "blk.6.ffn_down_exps.weight", "xblk.6.ffn_down.weight"],
)
def test_a_pattern_means_no_other_tensor(name):
    pattern, _, _ = override_pattern([Overflow(6, ("down",))]).rpartition("=")
    assert re.search(pattern, "blk.6.ffn_down.weight")
    assert re.search(pattern, "blk.6.ffn_down.bias")
    assert not re.search(pattern, name)


@pytest.mark.parametrize(
    "name", ["blk.6.ffn_down.weight", "blk.6.ffn_up_exps.weight", "blk.6.ffn_down_shexp.weight"]
)
def test_a_pattern_for_experts_means_no_other_tensor(name):
    pattern, _, _ = override_pattern([Overflow(6, ("down_exps",))]).rpartition("=")
    assert re.search(pattern, "blk.6.ffn_down_exps.weight")
    assert re.search(pattern, "blk.6.ffn_down_exps.bias")
    assert not re.search(pattern, name)


def sizes(**parts: int) -> list[int]:
    return [parts.get(name, 0) for name in PARTS]


def test_what_stays_in_ram_is_the_end_of_the_feed_forward():
    dense = choices(sizes(gate=10, up=10, down=15))
    assert dense == {35: ("gate", "up", "down"), 25: ("up", "down"), 15: ("down",)}
    assert choices(sizes(up=20, down=15)) == {35: ("up", "down"), 15: ("down",)}
    assert choices(sizes()) == {}


def test_of_a_feed_forward_with_experts_these_may_stay_in_ram():
    found = choices(sizes(gate=1, up=1, down=1, gate_up_exps=20, down_exps=15))
    assert found == {35: ("gate_up_exps", "down_exps"), 15: ("down_exps",)}
