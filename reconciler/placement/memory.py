"""How many bytes a runtime takes on each device and in RAM, before it is started."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader
from reconciler.placement.architecture import Architecture, Cache, read_architecture
from reconciler.placement.block import Block, Experts, FeedForward, describe_block
from reconciler.placement.compute import (
    PIPELINE_COPIES,
    CpuWork,
    Segment,
    host_bytes,
    representative,
    segment_bytes,
)
from reconciler.placement.kv import cache_bytes
from reconciler.placement.overflow import Overflow, choices
from reconciler.placement.settings import Settings
from reconciler.placement.step import Step
from reconciler.placement.weights import Weights, block_tensors, read_weights

_NOTHING = Bytes(0)


@dataclass(frozen=True, slots=True)
class Beside:
    """What else a server loads: on the first device that the model uses, and in RAM."""

    device: Bytes = _NOTHING
    host: Bytes = _NOTHING


ALONE = Beside()


@dataclass(frozen=True, slots=True)
class Model:
    """What placement needs to know of a model; read once per file."""

    architecture: Architecture
    weights: Weights
    blocks: tuple[Block, ...]
    """The different kinds of blocks."""
    kinds: tuple[int, ...]
    """The kind of each block that runs."""
    beside: Beside = ALONE

    @property
    def slots(self) -> int:
        """Layers as `-ngl` and `-ts` count them: all blocks and the output."""
        return len(self.architecture.layers) + 1

    def divisions(self, layer: int) -> dict[int, tuple[str, ...]]:
        """What of the feed-forward of a layer on a device may stay in RAM, by the bytes that it comes to.

        Of a model of experts only these; nothing of dense ones with recurrent layers, whose graphs were not
        looked at.
        """
        weights, architecture = self.weights.layers[layer], self.architecture
        recurrent = any(one.recurrent for one in architecture.layers)
        may = weights.experts if architecture.experts else not recurrent
        return choices(weights.feed_forward) if may else {}


def read_model_figures(header: GgufHeader) -> Model:
    """Reduce a header to the figures that placement works with; FormatError where it is no language model."""
    architecture = read_architecture(header)
    known: dict[Block, int] = {}
    kinds = tuple(
        known.setdefault(describe_block(architecture, number, tensors), len(known))
        for number, tensors in enumerate(block_tensors(header, architecture.running_layers))
    )
    return Model(architecture, read_weights(header, architecture), tuple(known), kinds)


@dataclass(frozen=True, slots=True)
class Split:
    """Where the layers go: the first `cpu` blocks stay on the CPU, then each device takes its share.

    Shares count the output as one more layer, as `-ts` does; without devices everything is on the CPU.
    """

    cpu: int
    devices: tuple[int, ...]
    expert_layers_on_cpu: int = 0
    """Of the first so many blocks the experts stay in RAM (`-ncmoe`)."""
    overflow: tuple[Overflow, ...] = ()
    """Of more blocks on devices, feed-forward weights that stay in RAM (`-ot`); one entry per block."""
    shared: tuple[Overflow, ...] = ()
    """Of the last blocks of devices, feed-forward weights that lie on the next device (`-ot`)."""

    @property
    def whole(self) -> bool:
        """All layers lie on devices, with all their weights."""
        return self.cpu == 0 and self.expert_layers_on_cpu == 0 and not (self.overflow or self.shared)

    @property
    def owners(self) -> list[int]:
        """The device of each layer and of the output; -1 is the CPU."""
        owners = [-1] * self.cpu
        for device, count in enumerate(self.devices):
            owners += [device] * count
        return owners


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    model: Bytes
    context: Bytes
    compute: Bytes
    beside: Bytes
    """Projector and draft model."""

    @property
    def total(self) -> Bytes:
        return Bytes(self.model + self.context + self.compute + self.beside)


@dataclass(frozen=True, slots=True)
class MemoryReport:
    devices: tuple[DeviceMemory, ...]
    host: DeviceMemory
    """RAM; `model` is mapped from the file and can be dropped by the kernel, unlike the rest."""
    cache_ram: Bytes
    """What the server may keep of finished prompts, on top."""
    exact: bool
    """False: the architecture is not known, so caches follow the general formula."""

    @property
    def total(self) -> Bytes:
        return Bytes(self.host.total + sum(device.total for device in self.devices))


def estimate(model: Model, settings: Settings, split: Split) -> MemoryReport:
    """Bytes per device for this split. ValueError when the split does not cover the model's layers."""
    if split.cpu + sum(split.devices) != model.slots:
        raise ValueError(f"a split of {split} does not cover {model.slots} layers")
    owners = split.owners
    caches = cache_bytes(model.architecture, settings)
    weights = [0] * (len(split.devices) + 1)
    context = [0] * (len(split.devices) + 1)
    for number, owner in enumerate(owners[:-1]):
        layer = model.weights.layers[number]
        experts_owner = -1 if number < split.expert_layers_on_cpu else owner
        weights[owner] += layer.shared
        weights[experts_owner] += layer.experts
        context[owner if settings.kv_offload else -1] += caches[number]
    for one in split.overflow:
        left = model.weights.layers[one.layer].parts(one.parts)
        weights[owners[one.layer]] -= left
        weights[-1] += left
    for one in split.shared:
        left = model.weights.layers[one.layer].parts(one.parts)
        weights[owners[one.layer]] -= left
        weights[owners[one.layer] + 1] += left
    weights[-1] += model.weights.input
    weights[owners[-1]] += model.weights.output - (model.weights.tied if owners[-1] == -1 else 0)
    compute = _compute(model, settings, split, owners)
    attached = [0] * len(weights)
    attached[0] += model.beside.device
    attached[-1] += model.beside.host
    places = [
        DeviceMemory(Bytes(weights[index]), Bytes(context[index]), compute[index], Bytes(attached[index]))
        for index in range(len(weights))
    ]
    return MemoryReport(tuple(places[:-1]), places[-1], settings.cache_ram, model.architecture.exact)


def parts_in_ram(model: Model, split: Split) -> dict[int, tuple[str, ...]]:
    """Of blocks on devices, what the CPU computes: experts of the first blocks, and what overflows."""
    found: dict[int, tuple[str, ...]] = {}
    for layer in range(split.cpu, min(split.expert_layers_on_cpu, len(model.kinds))):
        experts = model.blocks[model.kinds[layer]].experts
        if experts is not None:
            found[layer] = experts.parts
    return found | {one.layer: one.parts for one in split.overflow}


def _compute(model: Model, settings: Settings, split: Split, owners: Sequence[int]) -> list[Bytes]:
    architecture = model.architecture
    used = [device for device, count in enumerate(split.devices) if count]
    pipelined = len(split.devices) > 1 and split.whole and settings.kv_offload
    copies = PIPELINE_COPIES if pipelined else 1
    step = largest_step(settings)
    every_mask = mask_cells(architecture, settings, range(architecture.running_layers))
    result = [Bytes(0)] * (len(split.devices) + 1)
    parts = parts_in_ram(model, split)
    away = {one.layer: one.parts for one in split.shared} | ({} if settings.op_offload else parts)
    kinds, blocks = _blocks(model, away)
    for owner in {*used, -1}:
        mine = [number for number in range(len(kinds)) if owners[number] == owner]
        last = owners[-1] == owner
        if not mine and not last:
            continue
        begin = mine[0] if mine else len(kinds)
        segment = Segment(
            blocks=tuple(blocks[kind] for kind in representative(kinds[number] for number in mine)),
            before=blocks[kinds[begin - 1]] if begin else None,
            last=last,
            copies=copies,
            width=architecture.width,
            vocabulary=architecture.vocabulary,
            mask_cells=every_mask if owner == -1 else mask_cells(architecture, settings, mine),
            borrowed=_borrowed(model, settings, split) if used and owner == used[0] else Bytes(0),
            scaled=architecture.scales_embeddings,
            after_cpu=begin > 0 and owners[begin - 1] == -1,
            resumes=any(one.layer == begin - 1 for one in split.shared),
            feeds=owner == -1 and bool(used),
        )
        result[owner] = segment_bytes(segment, step)
        if owner != -1 and split.cpu and architecture.experts and parts:
            # With both kinds of hand-overs results of experts were seen to lie above everything else.
            result[owner] = Bytes(result[owner] + step.bytes(architecture.width * architecture.experts_used))
    if owners[0] != -1:
        left = _left(model, parts, _masks_copied(architecture, owners))
        result[-1] = max(result[-1], host_bytes(architecture.width, every_mask, copies, step, left))
    return result


def _borrowed(model: Model, settings: Settings, split: Split) -> Bytes:
    """Room for the largest tensor that comes over from RAM; llama.cpp asks the first GPU for all of them."""
    if not settings.op_offload:
        return Bytes(0)
    layers = model.weights.layers
    lent = [layers[one.layer].parts((part,)) for one in split.overflow for part in one.parts]
    lent += [layer.largest_expert for layer in layers[: split.expert_layers_on_cpu]]
    lent += [layer.largest for layer in layers[: split.cpu]]
    return max(lent, default=Bytes(0))


def largest_step(settings: Settings) -> Step:
    """The step of computation that buffers are sized for."""
    return Step(
        tokens=settings.step_tokens,
        sequences=settings.parallel,
        outputs=min(settings.step_tokens, settings.outputs or settings.step_tokens),
        flash_attention=settings.flash_attention,
        cells=settings.cells,
        rotate_keys=settings.type_k.quantised,
        rotate_values=settings.type_v.quantised,
    )


def _left(model: Model, parts: Mapping[int, tuple[str, ...]], masks_copied: int) -> CpuWork:
    """The kinds of what the CPU computes of blocks on devices: while it holds masks for them, and after.

    With experts some graphs use masks late, so they count as held.
    """
    early: dict[Experts | FeedForward, None] = {}
    late: dict[FeedForward, None] = {}
    for layer, names in parts.items():
        block = model.blocks[model.kinds[layer]].without(names)
        if block.experts is not None:
            early[block.experts] = None
        elif layer < masks_copied:
            early[block.feed_forward] = None
        else:
            late[block.feed_forward] = None
    return CpuWork(tuple(early), tuple(late))


def _masks_copied(architecture: Architecture, owners: Sequence[int]) -> int:
    """The block by which the last device with blocks has each of the masks that it needs."""
    last = owners[architecture.running_layers - 1]
    firsts: dict[Cache, int] = {}
    for number in range(architecture.running_layers):
        if owners[number] == last:
            firsts.setdefault(architecture.layers[number].cache, number)
    return max(firsts.values())


def _blocks(model: Model, away: Mapping[int, tuple[str, ...]]) -> tuple[tuple[int, ...], tuple[Block, ...]]:
    """The kind of each block that runs, and the kinds; one that is partly computed elsewhere is another."""
    if not away:
        return model.kinds, model.blocks
    known = {block: kind for kind, block in enumerate(model.blocks)}
    kinds = list(model.kinds)
    for layer, names in away.items():
        block = model.blocks[kinds[layer]].without(names)
        kinds[layer] = known.setdefault(block, len(known))
    return tuple(kinds), tuple(known)


def mask_cells(architecture: Architecture, settings: Settings, layers: Iterable[int]) -> tuple[int, ...]:
    """Cells under each attention mask that these layers need: the whole cache's, the window's, both, none."""
    kinds = {architecture.layers[number].cache for number in layers}
    cells = []
    if Cache.FULL in kinds:
        cells.append(settings.cells)
    if Cache.WINDOW in kinds:
        cells.append(settings.window_cells(architecture.window))
    return tuple(cells)
