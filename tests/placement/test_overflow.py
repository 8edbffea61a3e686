import re

import pytest

from reconciler.placement.overflow import Overflow, choices, override_pattern


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


def test_what_stays_in_ram_is_the_end_of_the_feed_forward():
    assert choices((10, 10, 15)) == {35: ("gate", "up", "down"), 25: ("up", "down"), 15: ("down",)}
    assert choices((0, 20, 15)) == {35: ("up", "down"), 15: ("down",)}
    assert choices((0, 0, 0)) == {}
