"""How long one token is expected to take with a split: bytes read over bandwidth, and hops."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from reconciler.placement.devices import Host
from reconciler.placement.kv import cache_bytes
from reconciler.placement.memory import Model, Split, parts_in_ram
from reconciler.placement.overflow import Overflow, of_experts
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
    in_ram = expert_bytes_read(model, split.expert_layers_on_cpu) + sum(reads[: split.cpu])
    for one in split.overflow:
        left = parts_read(model, one)
        reads[one.layer] -= left
        in_ram += left
    seconds = in_ram / host.bandwidth
    for one in split.shared:
        left = parts_read(model, one)
        reads[one.layer] -= left
        seconds += left / bandwidths[split.owners[one.layer] + 1]
    begin = split.cpu
    for count, bandwidth in zip(split.devices, bandwidths, strict=True):
        seconds += sum(reads[begin : begin + count]) / bandwidth
        begin += count
    return seconds + HOP_SECONDS * hops(model, split)


def parts_read(model: Model, overflow: Overflow) -> float:
    """Bytes that are read per token of these parts of a layer."""
    layer, share = model.weights.layers[overflow.layer], experts_read(model)
    return sum(layer.parts((part,)) * (share if of_experts(part) else 1.0) for part in overflow.parts)


def hops(model: Model, split: Split) -> int:
    """How often one device hands over to another for a token, from the first block on."""
    route = list(_route(model, split))
    return sum(here != there for here, there in pairwise(route))


def _route(model: Model, split: Split) -> Iterator[int]:
    """The devices that compute, one after the other; -1 is the CPU.

    Where what follows weights in RAM needs none itself, the next layer's device computes it.
    """
    divided, shared = parts_in_ram(model, split), {one.layer for one in split.shared}
    owners = [*split.owners[: len(model.kinds)], split.owners[-1]]
    for layer, kind in enumerate(model.kinds):
        here, following = owners[layer], owners[layer + 1]
        yield here
        if layer in divided:
            yield -1
        if following != here and _begins_early(model, layer + 1):
            yield following
            yield here
        elif layer in divided and not model.blocks[kind].may_end_away:
            yield here
        elif layer in shared and not model.blocks[kind].may_end_away:
            yield following
            yield here
    yield owners[-1]


def _begins_early(model: Model, layer: int) -> bool:
    return layer < len(model.kinds) and model.blocks[model.kinds[layer]].begins_early


def saves_hop(model: Model, layer: int) -> bool:
    """Whether it costs a hop less that a device begins with this layer when the CPU ends the one before."""
    return _begins_early(model, layer) or (
        0 < layer <= len(model.kinds) and model.blocks[model.kinds[layer - 1]].may_end_away
    )


def layers_of(model: Model, settings: Settings, expert_layers_on_cpu: int) -> Layers:
    """What each layer costs, the output last; experts in RAM are in neither sizes nor reads."""
    architecture = model.architecture
    share = experts_read(model)
    sizes, reads, handovers = [], [], []
    for number, (layer, cache) in enumerate(
        zip(model.weights.layers, cache_bytes(architecture, settings), strict=True)
    ):
        experts = 0 if number < expert_layers_on_cpu else layer.experts
        sizes.append(layer.shared + experts + cache)
        reads.append(layer.shared + experts * share + cache * CONTEXT_IN_USE)
    sizes.append(model.weights.output)
    reads.append(float(model.weights.output))
    for number in range(len(sizes)):
        after_cpu = 0 < number <= expert_layers_on_cpu and model.weights.layers[number - 1].experts > 0
        hops_here = 3 if _begins_early(model, number) else 1
        handovers.append(HOP_SECONDS * (hops_here - (after_cpu and saves_hop(model, number))))
    return Layers(tuple(sizes), tuple(reads), tuple(handovers))


def expert_bytes_read(model: Model, count: int) -> float:
    """Bytes that are read per token of the experts of the first `count` layers."""
    return sum(layer.experts for layer in model.weights.layers[:count]) * experts_read(model)


def experts_read(model: Model) -> float:
    """Share of the experts that is read for a token."""
    architecture = model.architecture
    return architecture.experts_used / architecture.experts if architecture.experts else 1.0
