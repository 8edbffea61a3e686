"""How long one token is expected to take with a split: bytes read over bandwidth, and hops."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from reconciler.placement.devices import Host
from reconciler.placement.kv import cache_bytes
from reconciler.placement.memory import Model, Split
from reconciler.placement.partition import Layers
from reconciler.placement.settings import Settings

HOP_SECONDS = 30e-6
"""What it costs per token that one device hands over to the next."""
CONTEXT_IN_USE = 0.5
"""Share of the KV cache that is read per token, on average over a conversation."""


def seconds_per_token(
    model: Model, settings: Settings, split: Split, bandwidths: Sequence[float], host: Host
) -> float:
    """Expected time to generate one token with this split."""
    layers = layers_of(model, settings, split.expert_layers_on_cpu)
    reads = list(layers.reads)
    in_ram = expert_reads(model, split.expert_layers_on_cpu) + sum(reads[: split.cpu])
    for one in split.overflow:
        left = model.weights.layers[one.layer].parts(one.parts)
        reads[one.layer] -= left
        in_ram += left
    seconds = in_ram / host.bandwidth
    begin = split.cpu
    for count, bandwidth in zip(split.devices, bandwidths, strict=True):
        seconds += sum(reads[begin : begin + count]) / bandwidth
        begin += count
    return seconds + HOP_SECONDS * hops(model, split)


def hops(model: Model, split: Split) -> int:
    """How often one device hands over to another for a token, from the first block on."""
    route = list(_route(model, split))
    return sum(here != there for here, there in pairwise(route))


def _route(model: Model, split: Split) -> Iterator[int]:
    """The devices that compute, one after the other; -1 is the CPU.

    Where what follows weights in RAM needs none itself, the next layer's device computes it.
    """
    yield from [-1] * split.cpu
    overflow = {one.layer for one in split.overflow}
    number = split.cpu
    for device, count in enumerate(split.devices):
        for layer in range(number, number + count):
            yield device
            if layer in overflow or layer < split.expert_layers_on_cpu:
                yield -1
                if not model.blocks[model.kinds[layer]].may_end_away:
                    yield device
        number += count


def layers_of(model: Model, settings: Settings, expert_layers_on_cpu: int) -> Layers:
    """Sizes and reads per layer, the output last; experts in RAM are in neither."""
    architecture = model.architecture
    share = _experts_read(model)
    sizes, reads = [], []
    for number, (layer, cache) in enumerate(
        zip(model.weights.layers, cache_bytes(architecture, settings), strict=True)
    ):
        experts = 0 if number < expert_layers_on_cpu else layer.experts
        sizes.append(layer.shared + experts + cache)
        reads.append(layer.shared + experts * share + cache * CONTEXT_IN_USE)
    return Layers((*sizes, model.weights.output), (*reads, float(model.weights.output)))


def expert_reads(model: Model, count: int) -> float:
    """Bytes that are read per token of the experts of the first `count` layers."""
    return sum(layer.experts for layer in model.weights.layers[:count]) * _experts_read(model)


def _experts_read(model: Model) -> float:
    architecture = model.architecture
    return architecture.experts_used / architecture.experts if architecture.experts else 1.0
