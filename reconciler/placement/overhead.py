"""Compute buffers by a device's part in the model, before it is known which layers it gets.

They are reckoned over all kinds of blocks, so the buffer of any real part is smaller or equal, save for
quirks of fragmentation that the planner's exact check afterwards finds.
"""

from reconciler.placement.compute import (
    PIPELINE_COPIES,
    CpuWork,
    Segment,
    host_bytes,
    representative,
    segment_bytes,
)
from reconciler.placement.memory import Model, largest_step, mask_cells
from reconciler.placement.partition import Overhead
from reconciler.placement.settings import Settings


def device_overhead(
    model: Model, settings: Settings, *, pipelined: bool, after_cpu: bool = False, lent: int = 0
) -> Overhead:
    """Bytes beside its layers for a device; `lent`: the largest tensor that comes over from RAM."""
    lent = lent if settings.op_offload else 0

    def part(*, first: bool, last: bool) -> int:
        return _part(
            model,
            settings,
            first=first and not after_cpu,
            last=last,
            pipelined=pipelined,
            borrowed=lent if first or after_cpu else 0,
            after_cpu=after_cpu,
        )

    # After the CPU any device may be the first that the model uses.
    ahead, behind = model.beside.device, model.beside.device if after_cpu else 0
    return Overhead(
        only=part(first=True, last=True) + ahead,
        first=part(first=True, last=False) + ahead,
        middle=part(first=False, last=False) + behind,
        last=part(first=False, last=True) + behind,
    )


def lone_overhead(model: Model, settings: Settings) -> Overhead:
    """Bytes beside the layers for a device that has the whole model."""
    whole = _part(model, settings, first=True, last=True, pipelined=False, borrowed=0) + model.beside.device
    return Overhead(only=whole, first=whole, middle=whole, last=whole)


def host_overhead(model: Model, settings: Settings, *, pipelined: bool, experts_left: bool = False) -> int:
    """Bytes of RAM for the CPU's own buffers when the devices have all layers."""
    architecture = model.architecture
    masks = mask_cells(architecture, settings, range(architecture.running_layers))
    kinds = tuple(dict.fromkeys(block.experts for block in model.blocks if block.experts is not None))
    copies = PIPELINE_COPIES if pipelined else 1
    left = CpuWork(early=kinds if experts_left else ())
    return host_bytes(architecture.width, masks, copies, largest_step(settings), left)


def cpu_overhead(model: Model, settings: Settings) -> Overhead:
    """The same for a CPU that computes the first layers, or all."""
    feeding = host_overhead(model, settings, pipelined=False, experts_left=True)
    first = max(
        feeding, _part(model, settings, first=True, last=False, pipelined=False, borrowed=0, feeds=True)
    )
    only = _part(model, settings, first=True, last=True, pipelined=False, borrowed=0)
    only += model.beside.device
    return Overhead(only=only, first=first, middle=first, last=only)


def _part(
    model: Model,
    settings: Settings,
    *,
    first: bool,
    last: bool,
    pipelined: bool,
    borrowed: int,
    after_cpu: bool = False,
    feeds: bool = False,
) -> int:
    architecture = model.architecture
    segment = Segment(
        blocks=tuple(model.blocks[kind] for kind in representative(model.kinds)),
        before=None if first else model.blocks[model.kinds[-1]],
        last=last,
        copies=PIPELINE_COPIES if pipelined else 1,
        width=architecture.width,
        vocabulary=architecture.vocabulary,
        mask_cells=mask_cells(architecture, settings, range(architecture.running_layers)),
        scaled=architecture.scales_embeddings,
        after_cpu=after_cpu,
        feeds=feeds,
    )
    return segment_bytes(segment, largest_step(settings)) + borrowed
