"""Layers in pieces, so that two devices can share one: its end is what the next device begins with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from reconciler.placement.memory import Model
from reconciler.placement.overflow import Overflow
from reconciler.placement.pace import HOP_SECONDS, parts_read
from reconciler.placement.partition import Layers


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of all layers, and of which layer each is the rest, from which parts on."""

    layers: Layers
    rests: tuple[Overflow, ...]
    """Without parts where a layer begins."""

    def shares(self, counts: Sequence[int]) -> tuple[tuple[int, ...], tuple[Overflow, ...]]:
        """Of pieces per device, the layers that begin on each, and what the next device has of the last."""
        ends = list(accumulate(counts, initial=0))
        begun = [sum(not one.parts for one in self.rests[begin:end]) for begin, end in pairwise(ends)]
        bounds = dict.fromkeys(end for end in ends if 0 < end < len(self.rests))
        shared = [self.rests[end] for end in bounds if self.rests[end].parts]
        # A little must be shared, or llama.cpp copies inputs, for which there may be no room.
        least = [self.rests[end - 1] for end in bounds if self.rests[end - 1].parts]
        return tuple(begun), tuple(shared or least[:1])


def shared_pieces(model: Model, layers: Layers) -> Pieces:
    """Cut each layer where two devices can share it for no more than one hop."""
    rests = [one for layer in range(len(layers.sizes)) for one in _rests(model, layer)]
    sizes, reads, handovers = [], [], []
    for one, following in zip(rests, (*rests[1:], None), strict=True):
        size, read = _left(model, layers, one)
        if following is not None and following.layer == one.layer:
            after_size, after_read = _left(model, layers, following)
            size, read = size - after_size, read - after_read
        sizes.append(size)
        reads.append(read)
        handovers.append(HOP_SECONDS if one.parts else layers.handovers[one.layer])
    return Pieces(Layers(tuple(sizes), tuple(reads), tuple(handovers)), tuple(rests))


def _rests(model: Model, layer: int) -> Iterator[Overflow]:
    """The whole layer and what of it another device may have, the largest first."""
    yield Overflow(layer, ())
    blocks = [model.blocks[kind] for kind in model.kinds[layer : layer + 2]]
    if blocks and blocks[0].may_end_away and not any(block.begins_early for block in blocks[1:]):
        for _, parts in sorted(model.divisions(layer).items(), reverse=True):
            yield Overflow(layer, parts)


def _left(model: Model, layers: Layers, rest: Overflow) -> tuple[int, float]:
    """Bytes that it takes, and bytes of it that are read."""
    if not rest.parts:
        return layers.sizes[rest.layer], layers.reads[rest.layer]
    return model.weights.layers[rest.layer].parts(rest.parts), parts_read(model, rest)
