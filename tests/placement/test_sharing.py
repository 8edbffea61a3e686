import pytest

from reconciler.placement.overflow import Overflow
from reconciler.placement.pace import HOP_SECONDS, layers_of
from reconciler.placement.settings import Settings
from reconciler.placement.sharing import shared_pieces

SETTINGS = Settings(8192)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-30b-a3b", "granite-4-h-small"])
def test_the_pieces_of_a_layer_are_the_layer(name, model):
    whole = layers_of(model(name), SETTINGS, 0)
    pieces = shared_pieces(model(name), whole)
    for layer in (0, 5, len(whole.sizes) - 1):
        own = [number for number, rest in enumerate(pieces.rests) if rest.layer == layer]
        assert sum(pieces.layers.sizes[number] for number in own) == whole.sizes[layer]
        assert sum(pieces.layers.reads[number] for number in own) == pytest.approx(whole.reads[layer])
        assert pieces.layers.handovers[own[0]] == whole.handovers[layer]
        assert all(pieces.layers.handovers[number] == HOP_SECONDS for number in own[1:])


@pytest.mark.parametrize("name", ["gemma-3-12b", "deepseek-v3", "granite-4-h-small", "qwen3-next-80b"])
def test_layers_after_whose_feed_forward_their_device_goes_on_stay_whole(name, model):
    one = model(name)
    pieces = shared_pieces(one, layers_of(one, SETTINGS, 0))
    with_experts = [number for number, layer in enumerate(one.weights.layers) if layer.experts]
    assert not [
        rest for rest in pieces.rests if rest.parts and (not with_experts or rest.layer in with_experts)
    ]


def test_a_layer_is_on_the_device_that_begins_it(model):
    one = model("llama-3.1-8b")
    pieces = shared_pieces(one, layers_of(one, SETTINGS, 0))
    counts = (4 * 10 + 2, 0, len(pieces.rests) - 42)
    assert pieces.shares(counts) == ((11, 0, 22), (Overflow(10, ("up", "down")),))


def test_a_little_is_shared_where_layers_would_be_whole(model):
    one = model("llama-3.1-8b")
    pieces = shared_pieces(one, layers_of(one, SETTINGS, 0))
    assert pieces.shares((40, len(pieces.rests) - 40)) == ((10, 23), (Overflow(9, ("down",)),))
