"""How large the buffers for intermediate results are, per device."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from reconciler.core.types import Bytes
from reconciler.placement.arena import Tape
from reconciler.placement.block import Block, Experts, FeedForward
from reconciler.placement.feed_forward import add_dense_alone, add_experts_alone, add_up_experts
from reconciler.placement.graph import add_block, add_history
from reconciler.placement.step import F32, Step

_NOTHING = Bytes(0)
PIPELINE_COPIES = 4
"""`GGML_SCHED_MAX_COPIES`: inputs exist that often where several devices work on successive batches."""
_POSITIONS = 5
"""i32 positions and i64 cache rows for keys and values, in units of four bytes per token."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The successive blocks that one device computes."""

    blocks: tuple[Block, ...]
    before: Block | None
    """The block before these; None where they begin with the token embeddings."""
    last: bool
    """It ends with the logits."""
    copies: int
    width: int
    vocabulary: int
    mask_cells: tuple[int, ...]
    """Cells that each attention mask spans: one for the full cache, one for the window's."""
    borrowed: Bytes = _NOTHING
    """Room for weights that lie in RAM and are copied here for long prompts."""
    scaled: bool = False
    """Embeddings are multiplied before the first block."""
    after_cpu: bool = False
    """The CPU computed `before`."""
    resumes: bool = False
    """It computes what is away of `before`."""
    feeds: bool = False
    """It is the CPU, and devices come after it: they copy its masks to the end."""


@dataclass(frozen=True, slots=True)
class CpuWork:
    """What the CPU computes of blocks on devices, one entry per kind."""

    early: tuple[Experts | FeedForward, ...] = ()
    """Before the last device has its copies of masks."""
    late: tuple[FeedForward, ...] = ()


@dataclass(frozen=True, slots=True)
class _Inputs:
    entry: int
    normed: int | None
    """The entry, normalised already by the device before."""
    masks: tuple[int, ...]
    history: int | None


@lru_cache(maxsize=4096)
def segment_bytes(segment: Segment, step: Step) -> Bytes:
    """Size of the compute buffer for these blocks."""
    before = segment.before
    if segment.last and before and segment.copies == 1 and (before.recurrence or _has_state(segment)):
        # Where a graph with recurrent layers enters a device midway, its states were seen to end up above
        # everything else, so that the logits find no room below.
        body = segment_bytes(replace(segment, last=False), step)
        return Bytes(body + segment.vocabulary * step.outputs * F32)
    tape = Tape()
    width = step.bytes(segment.width)
    inputs = _add_inputs(tape, segment, step if segment.blocks else replace(step, tokens=step.outputs))
    if segment.borrowed:
        tape.hold(segment.borrowed)
    if before is not None and segment.resumes:
        tape.hold(_half_done(before, step))
    entry, normed = inputs.entry, inputs.normed
    history = inputs.history
    for block, coming in zip(segment.blocks, (*segment.blocks[1:], None), strict=False):
        entry, history = add_block(
            tape,
            block,
            step,
            entry,
            masks=inputs.masks,
            last=segment.last and coming is None,
            normed=normed,
            history=history,
            coming=coming,
        )
        normed = None
    if segment.last:
        final = segment.width * step.outputs * F32
        tape.add(segment.vocabulary * step.outputs * F32, tape.add(final, entry, in_place=True))
    else:
        tape.add(0, entry, tape.add(width, entry))  # the next device's norm has no weights, so it runs here
    return Bytes(tape.peak() + (width if _is_odd(segment) else 0) + _scattered(segment, step))


def _half_done(block: Block, step: Step) -> int:
    """What comes over of a feed-forward that another device began; it was seen to leave a gap."""
    experts, dense = block.experts, block.feed_forward
    if experts is not None:
        begun = len(experts.away) < len(experts.parts)
        return step.bytes(experts.width * experts.used) if begun else 0
    return step.bytes(dense.width) if len(dense.away) < len(dense.parts) else 0


def _scattered(segment: Segment, step: Step) -> int:
    """What results of experts that come back from the CPU were seen to take above everything else.

    So it is where there are two masks, beside the logits most of all, and in scans beside a large mask.
    """
    divided = [block.experts for block in segment.blocks if block.experts and block.experts.away]
    if not divided:
        return 0
    width, masks = step.bytes(segment.width), sum(_mask_bytes(cells, step) for cells in segment.mask_cells)
    results = width * max(experts.used for experts in divided)
    before = segment.before
    if before is not None and len(segment.mask_cells) > 1 and not before.away:
        at_once = bool(segment.blocks[0].away)
        if segment.last:
            return max(results + width, masks if at_once else 0)
        return 3 * width if at_once else 0
    if any(block.begins_early for block in segment.blocks):
        return min(results, masks)
    return 0


def _is_odd(segment: Segment) -> bool:
    """Whether small pieces that other devices' blocks leave here were seen to cost one more row per token."""
    if segment.last:
        return False
    if _has_state(segment) or all(block.feed_forward.away for block in segment.blocks):
        return True
    turned = any(
        block.attention and (block.attention.normed or block.attention.keys_first) for block in segment.blocks
    )
    return turned and segment.before is not None and segment.copies == 1


@lru_cache(maxsize=1024)
def host_bytes(width: int, mask_cells: tuple[int, ...], copies: int, step: Step, left: CpuWork) -> Bytes:
    """Size of the host's buffer when the devices compute all but what is left to it.

    It looks up the embeddings and holds what the devices copy: positions, masks, rows of images.
    """
    tape = Tape()
    take = tape.hold if copies > 1 else tape.input
    embedding = step.bytes(width)
    tape.hold(embedding)
    sent = [take(embedding)]
    for _ in range(copies - 1):
        tape.hold(2 * embedding)
    for _ in range(copies):
        sent.append(take(len(mask_cells) * step.bytes(_POSITIONS)))
        sent += [take(_mask_bytes(cells, step)) for cells in mask_cells]
    tape.hold(step.outputs * F32)  # which tokens' logits are wanted, asked for by the last block
    tape.add(0, tape.add(embedding), tape.add(embedding))
    for kind in left.early:
        tape.add(0, _add_rest(tape, kind, step, width))
    tape.add(0, *sent)
    for kind in left.late:
        tape.add(0, _add_rest(tape, kind, step, width))
    return tape.peak()


def _add_rest(tape: Tape, kind: Experts | FeedForward, step: Step, width: int) -> int:
    """What is away of a block, where nothing else of it is computed."""
    if isinstance(kind, Experts):
        return add_experts_alone(tape, kind, step, width)
    return add_dense_alone(tape, kind, step, width)


def representative(kinds: Iterable[int]) -> tuple[int, ...]:
    """Fewer blocks with the same peak: a kind after another counts twice, further repetitions add nothing.

    The last block is always among them: what comes after it depends on its kind.
    """
    kept: list[int] = []
    seen: Counter[tuple[int, int]] = Counter()
    before = -1
    for kind in kinds:
        seen[before, kind] += 1
        if seen[before, kind] <= 2:  # noqa: PLR2004 - once more than once, so that fragmentation settles
            kept.append(kind)
        before = kind
    if kept and kept[-1] != before:
        kept.append(before)
    return tuple(kept)


def _has_state(segment: Segment) -> bool:
    return any(block.recurrence is not None for block in segment.blocks)


def _adds_up_before(segment: Segment, before: Block, experts: Experts) -> bool:
    """Whether the sum over the experts of the block before runs here.

    What has no weights runs where the next weights lie: here, when those of its experts lie in RAM. Blocks
    with a state begin early, so that even weights of the block before come later.
    """
    if before.open_ended:
        return segment.after_cpu or bool(experts.away)
    return bool(experts.away) and _has_state(segment)


def _mask_bytes(cells: int, step: Step) -> int:
    """Flash attention takes its mask in f16."""
    return cells * step.tokens * (2 if step.flash_attention else F32)


def _add_inputs(tape: Tape, segment: Segment, step: Step) -> _Inputs:
    """Memory that is there before the first operation, in the scheduler's order."""
    width = step.bytes(segment.width)
    take = tape.hold if segment.copies > 1 or segment.feeds else tape.input

    def copies(size: int) -> int:
        return [take(size) for _ in range(segment.copies)][0]  # noqa: RUF015 - all are taken, one is used

    def rest() -> tuple[int, ...]:
        copies(step.bytes(_POSITIONS))
        return tuple(copies(_mask_bytes(cells, step)) for cells in segment.mask_cells)

    before, following = segment.before, segment.blocks[0] if segment.blocks else None
    if before is None:
        mixed, looked_up, entry = copies(width), copies(width), copies(width)
        masks = rest()
        # Rows of text and of images are mixed in a buffer that nothing frees.
        tape.add(width, mixed)
        tape.add(0, looked_up)
        scaled = tape.add(width, entry, in_place=True) if segment.scaled else entry
        return _Inputs(scaled, None, masks, add_history(tape, following, step))
    experts = before.experts
    if segment.resumes:
        residual, masks = tape.input(width), rest()
        result = _add_rest(tape, experts or before.feed_forward, step, segment.width)
        history = add_history(tape, following, step)
        return _Inputs(tape.add(width, result, residual, in_place=True), None, masks, history)
    if experts is not None and _adds_up_before(segment, before, experts):
        down, weights = tape.input(width * experts.used), tape.input(step.bytes(experts.used))
        total = add_up_experts(tape, experts, down, weights, width)
        if before.open_ended:
            residual = tape.input(width)
            masks = rest()
            entry = tape.add(width, total, residual, in_place=True)
            return _Inputs(entry, None, masks, add_history(tape, following, step))
        tape.add(0, total)
    history = add_history(tape, following, step)
    if segment.after_cpu or before.ends_away:
        parts = [tape.input(width) for _ in range(2 if experts is None else 3)]
        masks = rest()
        return _Inputs(tape.add(width, *parts, in_place=True), None, masks, history)
    normed = copies(width)
    if not segment.blocks:
        return _Inputs(normed, None, (), None)
    masks = rest()
    entry = copies(width)
    return _Inputs(entry, tape.add(width, normed, in_place=True), masks, history)
