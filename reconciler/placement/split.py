"""Which layers of a model go to which device: the fastest split that fits, or what would make it fit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.placement.devices import Device, Host
from reconciler.placement.kv import cache_bytes, cache_problem
from reconciler.placement.memory import MemoryReport, Model, Split, estimate
from reconciler.placement.overhead import cpu_overhead, device_overhead, host_overhead, lone_overhead
from reconciler.placement.partition import Lane, Layers, partition
from reconciler.placement.settings import Settings

HOP_SECONDS = 30e-6
"""What it costs per token that one device hands over to the next."""
CONTEXT_IN_USE = 0.5
"""Share of the KV cache that is read per token, on average over a conversation."""
LEAST_CONTEXT = 4096
"""Proposals go no lower."""
_TRIES = 3
_SHORTAGE_STEP = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Placement:
    """A split that fits, and how llama.cpp is told."""

    devices: tuple[str, ...]
    """The devices that are used, in their order; no other may be visible to the server."""
    split: Split
    report: MemoryReport
    seconds_per_token: float

    @property
    def flags(self) -> tuple[str, ...]:
        """llama-server's arguments for this split."""
        if not self.devices:
            return ("--device", "none")
        flags = ["--gpu-layers", str(sum(self.split.devices))]
        if len(self.devices) == 1:
            flags += ["--split-mode", "none"]
        else:
            flags += ["--split-mode", "layer", "--tensor-split", ",".join(map(str, self.split.devices))]
        if self.split.expert_layers_on_cpu:
            flags += ["--n-cpu-moe", str(self.split.expert_layers_on_cpu)]
        return tuple(flags)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings with which the model would fit, for a person to decide on."""

    what: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A model that does not fit, by how much, and what would help; empty proposals: nothing that we know."""

    short_by: Bytes
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    seconds: float
    counts: tuple[int, ...]
    """Layers per device, 0 for those that are left out."""
    cpu: int = 0
    expert_layers: int = 0


def fit(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Placement | Unplaced:
    """The split with the least expected time per token. Settings are never changed, only proposed."""
    found = _fastest(model, settings, devices, host)
    if found is not None:
        return found
    proposals = _proposals(model, settings, lambda other: _fastest(model, other, devices, host) is not None)
    return Unplaced(_shortage(model, settings, devices, host), proposals)


def by_shares(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host, percentages: Sequence[int]
) -> Placement | Unplaced:
    """Give each device its share of the model's bytes, in whole layers.

    ValueError when the shares are not one per device, or all zero.
    """
    if len(percentages) != len(devices) or min(percentages, default=0) < 0 or sum(percentages) == 0:
        raise ValueError(f"{list(percentages)} are no shares of {len(devices)} GPUs")
    placement, over = _shared_out(model, settings, devices, host, percentages)
    if max(over) <= 0:
        return placement

    def fits(other: Settings) -> bool:
        return max(_shared_out(model, other, devices, host, percentages)[1]) <= 0

    proposals = _proposals(model, settings, fits)
    if _fastest(model, settings, devices, host) is not None:
        proposals = (Proposal("a split without gpu_percentages", settings), *proposals)
    return Unplaced(Bytes(sum(max(0, excess) for excess in over)), proposals)


def seconds_per_token(
    model: Model, settings: Settings, split: Split, bandwidths: Sequence[float], host: Host
) -> float:
    """Expected time to generate one token with this split: bytes read over bandwidth, and hops."""
    layers = _layers(model, settings, split.expert_layers_on_cpu)
    seconds = sum(layers.reads[: split.cpu]) / host.bandwidth
    seconds += _expert_seconds(model, split.expert_layers_on_cpu, host)
    begin, used = split.cpu, int(split.cpu > 0)
    for count, bandwidth in zip(split.devices, bandwidths, strict=True):
        seconds += sum(layers.reads[begin : begin + count]) / bandwidth
        begin += count
        used += count > 0
    return seconds + HOP_SECONDS * max(0, used - 1)


def _fastest(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Placement | None:
    """Solve with overheads that hold for any part of the model, then check the answer exactly."""
    rooms = list(devices)
    for _ in range(_TRIES):
        plans = _plans(model, settings, rooms, host)
        plan = min(plans, key=lambda plan: plan.seconds, default=None)
        if plan is None:
            return None
        placement = _placement(model, settings, devices, host, plan)
        over = _over(placement, plan, devices, host)
        if max(over) <= 0:
            return _filled_up(model, settings, devices, host, plan)
        rooms = [
            replace(device, budget=Bytes(max(0, device.budget - max(0, excess))))
            for device, excess in zip(rooms, over, strict=False)
        ]
    return None


def _filled_up(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host, plan: _Plan
) -> Placement:
    """With as many layers more off the CPU as fit exactly, where the general overheads were too careful."""
    placement = _placement(model, settings, devices, host, plan)
    while plan.cpu:
        more = [
            replace(
                plan, cpu=plan.cpu - 1, counts=(*plan.counts[:index], count + 1, *plan.counts[index + 1 :])
            )
            for index, count in enumerate(plan.counts)
            if count
        ]
        placed = [(one, _placement(model, settings, devices, host, one)) for one in more]
        fits = [pair for pair in placed if max(_over(pair[1], pair[0], devices, host)) <= 0]
        better = min(fits, key=lambda pair: pair[1].seconds_per_token, default=None)
        if better is None or better[1].seconds_per_token >= placement.seconds_per_token:
            break
        plan, placement = better
    return placement


def _plans(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Iterator[_Plan]:
    """The best plan of each way to use the devices, save for ways that cannot be the best."""
    inside = list(_all_on_one(model, settings, devices))
    yield from inside
    fastest = max((device.bandwidth for device in devices), default=0.0)
    if any(devices[plan.counts.index(model.slots)].bandwidth == fastest for plan in inside):
        return
    several = list(_all_on_several(model, settings, devices))
    yield from several
    inside += several
    if devices and model.architecture.experts and (len(devices) > 1 or not inside):
        yield from _experts_in_ram(model, settings, devices, host)
    if not inside:
        yield from _first_layers_in_ram(model, settings, devices, host)


def _all_on_one(model: Model, settings: Settings, devices: Sequence[Device]) -> Iterator[_Plan]:
    layers = _layers(model, settings, 0)
    for index, device in enumerate(devices):
        overhead = lone_overhead(model, settings)
        found = partition(layers, [Lane(device.room, device.bandwidth, overhead)], hop=HOP_SECONDS)
        if found is not None:
            yield _Plan(found[0], tuple(model.slots * (index == other) for other in range(len(devices))))


def _all_on_several(model: Model, settings: Settings, devices: Sequence[Device]) -> Iterator[_Plan]:
    if len(devices) > 1:
        overhead = device_overhead(model, settings, pipelined=True)
        lanes = [Lane(device.room, device.bandwidth, overhead) for device in devices]
        found = partition(_layers(model, settings, 0), lanes, hop=HOP_SECONDS)
        if found is not None:
            yield _Plan(*found)


def _experts_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Iterator[_Plan]:
    overhead = device_overhead(model, settings, pipelined=False, experts_left=True)
    lanes = [Lane(device.room, device.bandwidth, overhead) for device in devices]
    ram = (
        model.weights.input
        + model.beside.host
        + host_overhead(model, settings, pipelined=False, experts_left=True)
    )
    for count in range(1, model.architecture.running_layers + 1):
        ram += model.weights.layers[count - 1].experts
        if ram > host.budget:
            return
        found = partition(_layers(model, settings, count), lanes, hop=HOP_SECONDS)
        if found is not None:
            yield _Plan(found[0] + _expert_seconds(model, count, host), found[1], expert_layers=count)


def _first_layers_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Iterator[_Plan]:
    room = host.budget - model.weights.input - model.beside.host
    cpu = Lane(room, host.bandwidth, cpu_overhead(model, settings))
    overhead = device_overhead(model, settings, pipelined=False, after_cpu=True)
    lanes = [Lane(device.room, device.bandwidth, overhead) for device in devices]
    found = partition(_layers(model, settings, 0), [cpu, *lanes], hop=HOP_SECONDS, first_required=True)
    if found is not None:
        yield _Plan(found[0], found[1][1:], cpu=found[1][0])


def _layers(model: Model, settings: Settings, expert_layers_on_cpu: int) -> Layers:
    """Sizes and reads per layer, the output last; experts in RAM are in neither."""
    architecture = model.architecture
    share = architecture.experts_used / architecture.experts if architecture.experts else 1.0
    sizes, reads = [], []
    for number, (layer, cache) in enumerate(
        zip(model.weights.layers, cache_bytes(architecture, settings), strict=True)
    ):
        experts = 0 if number < expert_layers_on_cpu else layer.experts
        sizes.append(layer.shared + experts + cache)
        reads.append(layer.shared + experts * share + cache * CONTEXT_IN_USE)
    return Layers((*sizes, model.weights.output), (*reads, float(model.weights.output)))


def _expert_seconds(model: Model, count: int, host: Host) -> float:
    if not count:
        return 0.0
    share = model.architecture.experts_used / model.architecture.experts
    return sum(layer.experts for layer in model.weights.layers[:count]) * share / host.bandwidth


def _counts_by_shares(sizes: Sequence[int], percentages: Sequence[int]) -> tuple[int, ...]:
    """Layers go to the device in whose share their middle lies."""
    counts = [0] * len(percentages)
    whole, total = sum(sizes), sum(percentages)
    owner, bound, passed = 0, percentages[0], 0
    for size in sizes:
        while owner < len(percentages) - 1 and (2 * passed + size) * total >= 2 * bound * whole:
            owner += 1
            bound += percentages[owner]
        counts[owner] += 1
        passed += size
    return tuple(counts)


def _shared_out(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host, percentages: Sequence[int]
) -> tuple[Placement, list[int]]:
    plan = _Plan(0.0, _counts_by_shares(_layers(model, settings, 0).sizes, percentages))
    placement = _placement(model, settings, devices, host, plan)
    return placement, _over(placement, plan, devices, host)


def _placement(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host, plan: _Plan
) -> Placement:
    used = [device for device, count in zip(devices, plan.counts, strict=True) if count]
    split = Split(plan.cpu, tuple(count for count in plan.counts if count), plan.expert_layers)
    speeds = [device.bandwidth for device in used]
    return Placement(
        devices=tuple(device.id for device in used),
        split=split,
        report=estimate(model, settings, split),
        seconds_per_token=seconds_per_token(model, settings, split, speeds, host),
    )


def _over(placement: Placement, plan: _Plan, devices: Sequence[Device], host: Host) -> list[int]:
    """Bytes above the budget per device, RAM last; negative where there is room."""
    parts = iter(placement.report.devices)
    over = [
        (next(parts).total if count else 0) - device.room
        for device, count in zip(devices, plan.counts, strict=True)
    ]
    return [*over, placement.report.host.total - host.budget]


def _shortage(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Bytes:
    """How much more RAM would do, to within `_SHORTAGE_STEP`; with enough of it all fits on the CPU."""
    low, high = 0, sum(_layers(model, settings, 0).sizes) + model.weights.input
    high += cpu_overhead(model, settings).only
    while high - low > _SHORTAGE_STEP:
        middle = (low + high) // 2
        larger = replace(host, budget=Bytes(host.budget + middle))
        if _fastest(model, settings, devices, larger) is None:
            low = middle
        else:
            high = middle
    return Bytes(high)


def _proposals(model: Model, settings: Settings, fits: Callable[[Settings], bool]) -> tuple[Proposal, ...]:
    """The gentlest changes with which the model fits: smaller cache types, a shorter context, or both."""
    smaller = tensor_type("q8_0")
    compact = replace(settings, type_k=smaller, type_v=smaller)
    if cache_problem(model.architecture, compact) is not None:
        compact = settings
    found = []
    if compact != settings and fits(compact):
        found.append(Proposal("cache types q8_0", compact))
    shorter = _longest_context(settings, fits)
    if shorter is not None:
        found.append(Proposal(f"context of {shorter.context} tokens", shorter))
    if not found and compact != settings:
        both = _longest_context(compact, fits)
        if both is not None:
            found.append(Proposal(f"cache types q8_0 and a context of {both.context} tokens", both))
    return tuple(found)


def _longest_context(settings: Settings, fits: Callable[[Settings], bool]) -> Settings | None:
    """The longest context that fits of half, a quarter and so on."""
    context = settings.context // 2
    while context >= LEAST_CONTEXT:
        shorter = replace(settings, context=context)
        if fits(shorter):
            return shorter
        context //= 2
    return None
