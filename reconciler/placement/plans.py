"""The ways to use the devices that may be the fastest, each with its best split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from reconciler.placement.devices import Device, Host
from reconciler.placement.leaving import Leaving
from reconciler.placement.memory import Model
from reconciler.placement.overflow import Overflow
from reconciler.placement.overhead import cpu_overhead, device_overhead, host_overhead, lone_overhead
from reconciler.placement.pace import HOP_SECONDS, expert_bytes_read, experts_read, layers_of, saves_hop
from reconciler.placement.partition import Lane, Layers, Overhead, Parts, partition
from reconciler.placement.settings import Settings
from reconciler.placement.sharing import shared_pieces


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
    shared: tuple[Overflow, ...] = ()


_LEAST_SHARED = 2
"""Layers that devices must have that share any: buffers of smaller parts were not looked at."""

Way = Callable[[Model, Settings, Sequence[Device], Host], Plan | None]
"""A way to use the devices: its best split, None where it has none that fits."""


def all_on_one(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:  # noqa: ARG001
    """The whole model on the fastest device that it fits on."""
    layers, overhead = layers_of(model, settings, 0), lone_overhead(model, settings)
    best: Plan | None = None
    for index, device in enumerate(devices):
        found = partition(layers, [Lane(device.room, device.bandwidth, overhead)])
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
    found = partition(layers_of(model, settings, 0), lanes)
    return None if found is None else Plan(found.seconds, found.counts, found.needed)


def with_shared_layers(
    model: Model,
    settings: Settings,
    devices: Sequence[Device],
    host: Host,  # noqa: ARG001
) -> Plan | None:
    """The whole model on any devices, which may have parts of the last layer of the one before."""
    if len(devices) < 2:  # noqa: PLR2004 - what several means
        return None
    pieces = shared_pieces(model, layers_of(model, settings, 0))
    lanes = _lanes(devices, device_overhead(model, settings, pipelined=False))
    found = partition(pieces.layers, lanes)
    if found is None:
        return None
    counts, shared = pieces.shares(found.counts)
    own = [count for count in counts if count]
    if not shared or min(own) < _LEAST_SHARED or len(own) < sum(count > 0 for count in found.counts):
        return None
    return Plan(found.seconds, counts, found.needed, shared=shared)


def experts_in_ram(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:
    """The experts of the first layers in RAM; more than needed, where faster devices then take more."""
    return _fastest(_on_devices(model, settings, devices, host), divided=False)


def weights_in_ram(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:
    """The same, and gaps on devices are filled with more layers, without some of their feed-forward weights.

    Where all would fit but for the copies of inputs that llama.cpp makes for a whole model on several
    devices, it is the least of these weights.
    """
    return _fastest(_on_devices(model, settings, devices, host), divided=True)


def first_layers_and_experts_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Plan | None:
    """The first layers in RAM with their caches, and of more layers the experts."""
    return _fastest(_after_cpu(model, settings, devices, host), divided=False)


def first_layers_and_weights_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Plan | None:
    """The same; gaps on devices are filled with more layers, without some of their feed-forward weights."""
    return _fastest(_after_cpu(model, settings, devices, host), divided=True)


def first_layers_in_ram(
    model: Model, settings: Settings, devices: Sequence[Device], host: Host
) -> Plan | None:
    """The first layers in RAM with their caches and all their weights."""
    case = _after_cpu(model, settings, devices, host)
    return case.plan(0, divided=False) if case.rooms else None


def all_in_ram(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> Plan | None:
    """The whole model on the CPU."""
    found = first_layers_in_ram(model, settings, (), host)
    nowhere = (0,) * len(devices)
    return None if found is None else replace(found, counts=nowhere, needed=nowhere)


class _WithRam:
    """Devices that are too small for a model, and RAM for the rest."""

    def __init__(
        self, model: Model, settings: Settings, host: Host, lanes: Sequence[Lane], cpu: Overhead | None
    ) -> None:
        """`cpu`: of a CPU that computes the first layers; None where devices have all."""
        self._model, self._host, self._lanes, self._cpu = model, host, lanes, cpu
        self._whole, self._bare = layers_of(model, settings, 0), layers_of(model, settings, model.slots)
        self._leaving = _leaving(model, host)
        room = host.budget - model.weights.input - model.beside.host
        if cpu is None:
            room -= host_overhead(model, settings, pipelined=False, experts_left=True)
        running = model.weights.layers[: model.architecture.running_layers]
        taken = accumulate((layer.experts for layer in running if model.architecture.experts), initial=0)
        self.rooms = {count: room - size for count, size in enumerate(taken) if room >= size}
        """What is left of RAM by the number of first layers that leave their experts there."""

    def _layers(self, experts: int) -> Layers:
        """Those with the experts of so many in RAM."""
        return Layers(
            self._bare.sizes[:experts] + self._whole.sizes[experts:],
            self._bare.reads[:experts] + self._whole.reads[experts:],
            self._bare.handovers[: experts + 1] + self._whole.handovers[experts + 1 :],
        )

    def least_seconds(self, experts: int, *, divided: bool) -> float | None:
        """No split with the experts of so many layers in RAM is faster; None where none fits.

        With more of these layers in RAM whole, it is a split with no experts in RAM.
        """
        layers = self._layers(experts)
        fastest = max((lane.speed for lane in self._lanes), default=self._host.bandwidth)
        seconds = sum(layers.reads) / max(fastest, self._host.bandwidth)
        seconds += self._expert_seconds(experts, after=experts if self._cpu else 0)
        lack = -sum(lane.most for lane in self._lanes)
        if self._cpu is None:
            lack += sum(layers.sizes)
        elif experts:
            lack += sum(layers.sizes[experts:])
        else:
            lack += sum(layers.sizes) - self.rooms[0]
        if lack <= 0:
            return seconds
        if not divided or lack > self._leaving.most * len(self._lanes):
            return None
        return seconds + self._leaving.at_least(lack, fastest, devices=len(self._lanes))

    def plan(self, experts: int, *, divided: bool) -> Plan | None:
        """The best with the experts of so many layers in RAM, which must be among `rooms`."""
        leaving = self._leaving.behind(experts) if divided else None
        first = [] if self._cpu is None else [Lane(self.rooms[experts], self._host.bandwidth, self._cpu)]
        lanes = [*first, *self._lanes]
        found = partition(self._layers(experts), lanes, first_required=bool(first), leaving=leaving)
        if found is None:
            return None
        in_ram, counts, needed = 0, found.counts, found.needed
        if self._cpu is not None:
            in_ram, counts, needed = counts[0], counts[1:], needed[1:]
        seconds = found.seconds + self._expert_seconds(experts, after=in_ram)
        overflow = _overflow(self._model, found)
        if not (experts or in_ram or overflow):
            # Without anything in RAM llama.cpp copies inputs, for which there is no room.
            overflow = _least_overflow(self._model)
            seconds += 2 * HOP_SECONDS
        return Plan(seconds, counts, needed, in_ram, experts, overflow)

    def _expert_seconds(self, count: int, *, after: int) -> float:
        """To read those of the first layers from RAM, and to hand over to it where layers are on devices."""
        divided = sum(layer.experts > 0 for layer in self._model.weights.layers[after:count])
        return expert_bytes_read(self._model, count) / self._host.bandwidth + 2 * HOP_SECONDS * divided


def _on_devices(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> _WithRam:
    lent = max(max(layer.largest_expert, *layer.feed_forward) for layer in model.weights.layers)
    overhead = device_overhead(model, settings, pipelined=False, lent=lent)
    return _WithRam(model, settings, host, _lanes(devices, overhead), None)


def _after_cpu(model: Model, settings: Settings, devices: Sequence[Device], host: Host) -> _WithRam:
    lent = max(layer.largest for layer in model.weights.layers)
    overhead = device_overhead(model, settings, pipelined=False, after_cpu=True, lent=lent)
    return _WithRam(model, settings, host, _lanes(devices, overhead), cpu_overhead(model, settings))


def _fastest(case: _WithRam, *, divided: bool) -> Plan | None:
    """Over all counts of layers whose experts stay in RAM, those first that may be the fastest."""
    bounds = [
        (bound, experts)
        for experts in case.rooms
        if (bound := case.least_seconds(experts, divided=divided)) is not None
    ]
    best: Plan | None = None
    for bound, experts in sorted(bounds):
        if best is not None and bound >= best.seconds:
            break
        plan = case.plan(experts, divided=divided)
        if plan is not None and (best is None or plan.seconds < best.seconds):
            best = plan
    return best


def _least_overflow(model: Model) -> tuple[Overflow, ...]:
    ways = [
        (amount, layer, parts)
        for layer in range(len(model.weights.layers))
        for amount, parts in model.divisions(layer).items()
    ]
    return tuple(Overflow(layer, parts) for _, layer, parts in sorted(ways)[:1])


def _lanes(devices: Sequence[Device], overhead: Overhead) -> tuple[Lane, ...]:
    return tuple(Lane(device.room, device.bandwidth, overhead) for device in devices)


def _leaving(model: Model, host: Host) -> Leaving:
    """What may be left of each layer, the output last."""
    amounts = [tuple(model.divisions(layer)) for layer in range(len(model.weights.layers))]
    return Leaving(
        [*amounts, ()],
        speed=host.bandwidth,
        hop=HOP_SECONDS,
        saves=[saves_hop(model, number) for number in range(model.slots)],
        share=experts_read(model),
    )


def _overflow(model: Model, found: Parts) -> tuple[Overflow, ...]:
    return tuple(Overflow(one.layer, model.divisions(one.layer)[one.amount]) for one in found.left)
