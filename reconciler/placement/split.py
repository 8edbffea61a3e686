"""Which layers of a model go to which device: the fastest split that fits, or what would make it fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.placement.devices import Device, Host
from reconciler.placement.kv import cache_problem
from reconciler.placement.memory import MemoryReport, Model, Split, estimate
from reconciler.placement.overflow import override_pattern
from reconciler.placement.overhead import cpu_overhead
from reconciler.placement.pace import layers_of, seconds_per_token
from reconciler.placement.plans import (
    Plan,
    Way,
    all_in_ram,
    all_on_one,
    all_on_several,
    experts_in_ram,
    first_layers_and_experts_in_ram,
    first_layers_and_weights_in_ram,
    first_layers_in_ram,
    weights_in_ram,
    with_shared_layers,
)
from reconciler.placement.settings import Settings

LEAST_CONTEXT = 4096
"""Proposals go no lower."""
_TRIES = 4
_WORTH_SHARING = 1.02
"""So much faster a split must be to share layers, which keeps devices from working on successive batches."""
_SHORTAGE_STEP = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Placement:
    """A split that fits, and how llama.cpp is told."""

    devices: tuple[str, ...]
    """The devices that are used, in their order; no other may be visible to the server."""
    split: Split
    report: MemoryReport
    seconds_per_token: float

    def flags(self, names: Sequence[str]) -> tuple[str, ...]:
        """llama-server's arguments for this split; `names`: those of its devices' buffers."""
        if not self.devices:
            return ("--device", "none")
        flags = ["--gpu-layers", str(sum(self.split.devices))]
        if len(self.devices) == 1:
            flags += ["--split-mode", "none"]
        else:
            flags += ["--split-mode", "layer", "--tensor-split", ",".join(map(str, self.split.devices))]
        if self.split.expert_layers_on_cpu:
            flags += ["--n-cpu-moe", str(self.split.expert_layers_on_cpu)]
        owners = self.split.owners
        patterns = [override_pattern([one], names[owners[one.layer] + 1]) for one in self.split.shared]
        if self.split.overflow:
            patterns.append(override_pattern(self.split.overflow))
        if patterns:
            flags += ["--override-tensor", ",".join(patterns)]
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


def _fastest(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Placement | None:
    """The fastest of all ways to use the devices, save for ways that cannot be it."""
    found: list[Placement] = []

    def solve(*ways: Way) -> bool:
        solved = [_solved(way, model, settings, devices, host) for way in ways]
        found.extend(placement for placement in solved if placement is not None)
        return bool(found)

    whole = solve(all_on_one)
    fastest = max((device.bandwidth for device in devices), default=0.0)
    if not any(
        device.bandwidth == fastest for one in found for device in devices if device.id in one.devices
    ):
        whole = solve(all_on_several, with_shared_layers)
        if model.architecture.experts:
            if len(devices) > 1 or not whole:
                solve(weights_in_ram, experts_in_ram)
            if not found:
                solve(first_layers_and_weights_in_ram, first_layers_and_experts_in_ram)
            if not whole:
                solve(first_layers_in_ram)
        elif not whole:
            solve(first_layers_and_weights_in_ram, weights_in_ram)
        if not found:
            solve(first_layers_in_ram, all_in_ram)
    return _best(found)


def _best(found: Sequence[Placement]) -> Placement | None:
    """The fastest, but one with whole layers where sharing them gains little."""
    best = min(found, key=_seconds, default=None)
    if best is not None and best.split.shared:
        whole = min((one for one in found if one.split.whole), key=_seconds, default=best)
        return whole if _seconds(whole) <= _seconds(best) * _WORTH_SHARING else best
    return best


def _seconds(placement: Placement) -> float:
    return placement.seconds_per_token


def _solved(
    way: Way, model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Placement | None:
    """Solve with overheads that hold for any part of the model, and check the answer exactly.

    Then once more with what the parts that were found really need, where that is less; and as often as they
    need more than there is.
    """
    rooms, best, filled = list(devices), None, False
    for _ in range(_TRIES):
        plan = way(model, settings, rooms, host)
        if plan is None:
            break
        placement = _placement(model, settings, devices, host, plan)
        *over, over_in_ram = _over(placement, plan, devices, host)
        more = [
            device.room + excess - need
            for device, excess, need in zip(devices, over, plan.needed, strict=True)
        ]
        if max(*over, over_in_ram, 0) == 0:
            if best is None or placement.seconds_per_token < best.seconds_per_token:
                best = placement
            if filled or min(more, default=0) >= 0:
                break
            filled = True
            rooms = [_with_room(device, -min(0, size)) for device, size in zip(devices, more, strict=True)]
        elif max(over, default=0) > 0:
            rooms = [_with_room(room, -max(0, size)) for room, size in zip(rooms, more, strict=True)]
        else:
            break
    return best


def _with_room(device: Device, more: int) -> Device:
    return replace(device, budget=Bytes(max(0, device.budget + more)))


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
    counts = _counts_by_shares(layers_of(model, settings, 0).sizes, percentages)
    plan = Plan(0.0, counts, needed=(0,) * len(counts))
    placement = _placement(model, settings, devices, host, plan)
    return placement, _over(placement, plan, devices, host)


def _placement(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host, plan: Plan
) -> Placement:
    used = [device for device, count in zip(devices, plan.counts, strict=True) if count]
    counts = tuple(count for count in plan.counts if count)
    split = Split(plan.cpu, counts, plan.expert_layers, plan.overflow, plan.shared)
    speeds = [device.bandwidth for device in used]
    return Placement(
        devices=tuple(device.id for device in used),
        split=split,
        report=estimate(model, settings, split),
        seconds_per_token=seconds_per_token(model, settings, split, speeds, host),
    )


def _over(placement: Placement, plan: Plan, devices: Sequence[Device], host: Host) -> list[int]:
    """Bytes above the budget per device, RAM last; negative where there is room."""
    parts = iter(placement.report.devices)
    over = [
        (next(parts).total if count else 0) - device.room
        for device, count in zip(devices, plan.counts, strict=True)
    ]
    return [*over, placement.report.host.total - host.budget]


def _shortage(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Bytes:
    """How much more RAM would do, to within `_SHORTAGE_STEP`; with enough of it all fits on the CPU."""
    low, high = 0, sum(layers_of(model, settings, 0).sizes) + model.weights.input
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
    trained = model.architecture.trained_context
    shorter = _longest_context(settings, trained, fits)
    if shorter is not None:
        found.append(Proposal(f"context of {shorter.context} tokens", shorter))
    if not found and compact != settings:
        both = _longest_context(compact, trained, fits)
        if both is not None:
            found.append(Proposal(f"cache types q8_0 and a context of {both.context} tokens", both))
    return tuple(found)


def _longest_context(settings: Settings, trained: int, fits: Callable[[Settings], bool]) -> Settings | None:
    """The longest that fits of half, a quarter and so on, but none beyond the trained context."""
    context = settings.context // 2
    if trained:
        context = min(context, trained * settings.parallel)
    while context >= LEAST_CONTEXT:
        shorter = replace(settings, context=context)
        if fits(shorter):
            return shorter
        context //= 2
    return None
