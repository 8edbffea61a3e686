"""The ways to use the devices that may be the fastest, each with its best split."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from reconciler.placement.devices import Device, Host
from reconciler.placement.leaving import Leaving
from reconciler.placement.memory import Model
from reconciler.placement.overflow import Overflow, choices
from reconciler.placement.overhead import cpu_overhead, device_overhead, host_overhead, lone_overhead
from reconciler.placement.pace import HOP_SECONDS, expert_reads, layers_of
from reconciler.placement.partition import Lane, Overhead, Parts, partition
from reconciler.placement.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """A split as it was reckoned."""

    seconds: float
    counts: tuple[int, ...]
    """Layers per device, 0 for those that are left out."""
    needed: tuple[int, ...]
    """Bytes per device, with overheads that hold for any part of the model."""
    cpu: int = 0
    expert_layers: int = 0
    overflow: tuple[Overflow, ...] = ()


Way = Callable[[Model, Settings, Sequence[Device], Host], Plan | None]
"""A way to use the devices: its best split, None where it has none that fits."""


def all_on_one(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:  # noqa: ARG001
    """The whole model on the fastest device that it fits on."""
    layers, overhead = layers_of(model, settings, 0), lone_overhead(model, settings)
    best: Plan | None = None
    for index, device in enumerate(devices):
        found = partition(layers, [Lane(device.room, device.bandwidth, overhead)], hop=HOP_SECONDS)
        if found is not None and (best is None or found.seconds < best.seconds):
            here = [int(index == other) for other in range(len(devices))]
            counts = tuple(model.slots * one for one in here)
            best = Plan(found.seconds, counts, tuple(found.needed[0] * one for one in here))
    return best


def all_on_several(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:  # noqa: ARG001
    """The whole model on any devices."""
    if len(devices) < 2:  # noqa: PLR2004 - what several means
        return None
    lanes = _lanes(devices, device_overhead(model, settings, pipelined=True))
    found = partition(layers_of(model, settings, 0), lanes, hop=HOP_SECONDS)
    return None if found is None else Plan(found.seconds, found.counts, found.needed)


def experts_in_ram(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:
    """The experts of the first layers in RAM; more than needed, where faster devices then take more."""
    lent = max(layer.largest_expert for layer in model.weights.layers)
    lanes = _lanes(devices, device_overhead(model, settings, pipelined=False, lent=lent))
    beside = host_overhead(model, settings, pipelined=False, experts_left=True)
    best: Plan | None = None
    for count, room in _rooms_beside_experts(model, host):
        if room < beside:
            break
        found = partition(layers_of(model, settings, count), lanes, hop=HOP_SECONDS)
        if found is not None:
            seconds = found.seconds + _expert_seconds(model, count, host)
            if best is None or seconds < best.seconds:
                best = Plan(seconds, found.counts, found.needed, expert_layers=count)
    return best


def first_layers_and_experts_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Plan | None:
    """The first layers in RAM with their caches, and of more layers the experts."""
    lanes = _lanes(devices, _overhead_after_cpu(model, settings))
    overhead = cpu_overhead(model, settings)
    best: Plan | None = None
    for count, room in _rooms_beside_experts(model, host):
        cpu = Lane(room, host.bandwidth, overhead)
        layers = layers_of(model, settings, count)
        found = partition(layers, [cpu, *lanes], hop=HOP_SECONDS, first_required=True)
        if found is not None:
            layers_in_ram, *counts = found.counts
            seconds = found.seconds + _expert_seconds(model, count, host)
            seconds -= 2 * HOP_SECONDS * min(count, layers_in_ram)
            if best is None or seconds < best.seconds:
                best = Plan(seconds, tuple(counts), found.needed[1:], layers_in_ram, count)
    return best


def _rooms_beside_experts(model: Model, host: Host) -> Iterator[tuple[int, int]]:
    """For each number of layers whose experts are in RAM, how much of it they leave."""
    room = host.budget - model.weights.input - model.beside.host
    for number in range(model.architecture.running_layers):
        room -= model.weights.layers[number].experts
        if room < 0:
            return
        yield number + 1, room


def _expert_seconds(model: Model, count: int, host: Host) -> float:
    return expert_reads(model, count) / host.bandwidth + 2 * HOP_SECONDS * count


def first_layers_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Plan | None:
    """The first layers in RAM with their caches."""
    return _divided(model, settings, devices, host, None)


def first_layers_and_weights_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Plan | None:
    """The same; gaps on devices are filled with more layers, without some of their weights."""
    return _divided(model, settings, devices, host, _leaving(model, host))


def weights_in_ram(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:
    """All layers on devices, save for feed-forward weights.

    Where all would fit but for the copies of inputs that llama.cpp makes for a whole model on several
    devices, it is the least of these weights.
    """
    leaving = _leaving(model, host)
    if leaving is None:
        return None
    lent = max(max(layer.feed_forward) for layer in model.weights.layers)
    lanes = _lanes(devices, device_overhead(model, settings, pipelined=False, lent=lent))
    found = partition(layers_of(model, settings, 0), lanes, hop=HOP_SECONDS, leaving=leaving)
    if found is None:
        return None
    overflow = _overflow(model, found) or _least_overflow(model)
    return Plan(found.seconds, found.counts, found.needed, overflow=overflow)


def all_in_ram(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:
    """The whole model on the CPU."""
    found = _divided(model, settings, (), host, None)
    nowhere = (0,) * len(devices)
    return None if found is None else replace(found, counts=nowhere, needed=nowhere)


def _divided(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host, leaving: Leaving | None
) -> Plan | None:
    room = host.budget - model.weights.input - model.beside.host
    cpu = Lane(room, host.bandwidth, cpu_overhead(model, settings))
    lanes = [cpu, *_lanes(devices, _overhead_after_cpu(model, settings))]
    layers = layers_of(model, settings, 0)
    found = partition(layers, lanes, hop=HOP_SECONDS, first_required=True, leaving=leaving)
    if found is None:
        return None
    layers_in_ram, *counts = found.counts
    overflow = _overflow(model, found)
    return Plan(found.seconds, tuple(counts), found.needed[1:], cpu=layers_in_ram, overflow=overflow)


def _overhead_after_cpu(model: Model, settings: Settings) -> Overhead:
    lent = max(layer.largest for layer in model.weights.layers)
    return device_overhead(model, settings, pipelined=False, after_cpu=True, lent=lent)


def _least_overflow(model: Model) -> tuple[Overflow, ...]:
    ways = [
        (amount, layer, parts)
        for layer, weights in enumerate(model.weights.layers)
        for amount, parts in choices(weights.feed_forward).items()
    ]
    _, layer, parts = min(ways)
    return (Overflow(layer, parts),)


def _lanes(devices: Sequence[Device], overhead: Overhead) -> list[Lane]:
    return [Lane(device.room, device.bandwidth, overhead) for device in devices]


def _leaving(model: Model, host: Host) -> Leaving | None:
    """What may be left of each layer, the output last; None where nothing may.

    With experts, these stay in RAM instead; graphs with recurrent layers were not looked at.
    """
    architecture = model.architecture
    if architecture.experts or any(layer.recurrent for layer in architecture.layers):
        return None
    amounts = [*(tuple(choices(layer.feed_forward)) for layer in model.weights.layers), ()]
    if not any(amounts):
        return None
    may_end = all(block.may_end_away for block in model.blocks)
    return Leaving(amounts, speed=host.bandwidth, hop=HOP_SECONDS, may_end=may_end)


def _overflow(model: Model, found: Parts) -> tuple[Overflow, ...]:
    return tuple(
        Overflow(one.layer, choices(model.weights.layers[one.layer].feed_forward)[one.amount])
        for one in found.left
    )
