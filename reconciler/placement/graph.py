"""The computation of one block as llama.cpp builds it, reduced to what takes memory.

Names of operations in comments are ggml's; those that work in place leave no trace here.
"""

from dataclasses import replace

from reconciler.placement.arena import Tape
from reconciler.placement.block import Attention, Block, Recurrence
from reconciler.placement.feed_forward import add_dense, add_experts
from reconciler.placement.step import F32, Step


def add_block(
    tape: Tape,
    block: Block,
    step: Step,
    entry: int,
    *,
    masks: tuple[int, ...],
    last: bool,
    normed: int | None = None,
    history: int | None = None,
    coming: Block | None = None,
) -> tuple[int, int | None]:
    """Put one block's operations on the tape; returns its result, and the history of the `coming` block.

    `last`: only the tokens whose logits are wanted go on. `normed`: the entry, normalised already elsewhere.
    `history`: what its recurrence kept, from `add_history`, which llama.cpp asks for before the block before
    is through.
    """
    width = step.bytes(block.width)
    if normed is None:
        normed = tape.add(width, entry)  # RMS_NORM; the entry is still needed for the residual
    mixed = normed
    if block.recurrence is not None:
        mixed = _add_recurrence(tape, block.recurrence, step, (normed, history), width)
    if block.attention is not None:
        attended = tape.add(width, _add_attention(tape, block.attention, step, normed, masks))
        mixed = attended if mixed == normed else tape.add(width, mixed, attended, in_place=True)
    if last:
        width = step.outputs * block.width * F32
        step = replace(step, tokens=step.outputs)
        mixed, entry = tape.add(width, mixed), tape.add(width, entry)  # GET_ROWS
    residual = tape.add(width, mixed, entry, in_place=True)
    return _add_feed_forward(tape, block, step, residual, coming)


def add_history(tape: Tape, block: Block | None, step: Step) -> int | None:
    """GET_ROWS of the convolution's past, where the block has one."""
    if block is None or block.recurrence is None:
        return None
    return tape.add(block.recurrence.convolution * step.sequences * F32)


def _add_attention(tape: Tape, attention: Attention, step: Step, normed: int, masks: tuple[int, ...]) -> int:
    if attention.latent:
        return _add_latent_attention(tape, attention, step, normed, masks)
    gate = None
    if attention.fused:
        fused = tape.add(step.bytes(attention.query + attention.key + attention.value), normed)
        query = tape.add(step.bytes(attention.query), fused)
        value = fused
        key = tape.add(step.bytes(attention.key), fused)
        query, key, value = _rotate(tape, attention, step, (query, key, value))
    else:
        query = tape.add(step.bytes(attention.query), normed)
        if attention.gated:
            gate = query
            query = tape.add(step.bytes(attention.output), gate)
        elif attention.normed:
            query = tape.add(step.bytes(attention.query), query)  # RMS_NORM
        if step.rotate_keys and attention.rotates_keys:
            query = tape.add(step.bytes(attention.output if attention.gated else attention.query), query)
        if attention.keys_first:
            key = _add_key(tape, attention, step, normed)
            value = _add_value(tape, attention, step, normed)
        else:
            value = _add_value(tape, attention, step, normed)
            key = _add_key(tape, attention, step, normed)
    tape.add(0, key)  # SET_ROWS into the cache
    tape.add(0, value)
    attended = _add_attend(tape, attention, step, query, masks)
    if step.rotate_values and attention.rotates_values:
        attended = tape.add(step.bytes(attention.output), attended)
    if gate is not None:
        opened = tape.add(step.bytes(attention.output), gate)
        attended = tape.add(step.bytes(attention.output), attended, opened, in_place=True)
    return attended


def _rotate(
    tape: Tape, attention: Attention, step: Step, operands: tuple[int, int, int]
) -> tuple[int, int, int]:
    query, key, value = operands
    if step.rotate_keys and attention.rotates_keys:
        query, key = tape.add(step.bytes(attention.query), query), tape.add(step.bytes(attention.key), key)
    if step.rotate_values and attention.rotates_values:
        value = tape.add(step.bytes(attention.value), value)
    return query, key, value


def _add_key(tape: Tape, attention: Attention, step: Step, normed: int) -> int:
    size = step.bytes(attention.key)
    key = tape.add(size, normed)
    if attention.normed:
        key = tape.add(size, key)  # RMS_NORM
    return tape.add(size, key) if step.rotate_keys and attention.rotates_keys else key


def _add_value(tape: Tape, attention: Attention, step: Step, normed: int) -> int:
    size = step.bytes(attention.value)
    value = tape.add(size, normed)
    return tape.add(size, value) if step.rotate_values and attention.rotates_values else value


def _add_attend(tape: Tape, attention: Attention, step: Step, query: int, masks: tuple[int, ...]) -> int:
    if step.flash_attention:
        return tape.add(step.bytes(attention.output), query, *masks)
    scores = tape.add(step.bytes(step.cells * attention.heads), query, *masks)
    weighted = tape.add(step.bytes(attention.output), scores)
    return tape.add(step.bytes(attention.output), weighted)  # CONT


def _add_latent_attention(
    tape: Tape, attention: Attention, step: Step, normed: int, masks: tuple[int, ...]
) -> int:
    """DeepSeek's: queries are multiplied into the compressed space, keys alone are kept."""
    rank, rope, heads = attention.latent, attention.rope, attention.heads
    source = normed
    if attention.query_rank:
        source = tape.add(step.bytes(attention.query_rank), normed)
    query = tape.add(step.bytes(attention.query), source)
    absorbed = tape.add(step.bytes(heads * rank), query)
    turned = tape.add(step.bytes(heads * rope), query)
    query = tape.add(step.bytes(heads * (rank + rope)), absorbed, turned)  # CONCAT
    compressed = tape.add(step.bytes(rank + rope), normed)
    value = tape.add(step.bytes(rank), compressed)
    key_rope = tape.add(step.bytes(rope), compressed)
    key = tape.add(step.bytes(rank + rope), value, key_rope)
    tape.add(0, key)
    if step.flash_attention:
        attended = tape.add(step.bytes(heads * rank), query, *masks)
    else:
        scores = tape.add(step.bytes(step.cells * heads), query, *masks)
        attended = tape.add(step.bytes(heads * rank), scores)
    opened = tape.add(step.bytes(attention.output), attended)
    return tape.add(step.bytes(attention.output), opened)  # CONT


def _add_recurrence(
    tape: Tape, recurrence: Recurrence, step: Step, operands: tuple[int, int | None], width: int
) -> int:
    normed, fetched = operands
    past = () if fetched is None else (fetched,)
    per_sequence = step.sequences * F32
    channels = step.bytes(recurrence.channels)
    inner = step.bytes(recurrence.inner)
    if recurrence.delta:
        projected = tape.add(step.bytes(recurrence.projection), normed)
        joined = tape.add(channels + recurrence.convolution * per_sequence, *past, projected)  # CONCAT
        tape.add(0, joined)
        state = tape.add(recurrence.state * per_sequence, normed)  # GET_ROWS of the states
        convolved = tape.add(channels, joined)  # SSM_CONV
        query = tape.add(inner, tape.add(step.bytes(recurrence.key), convolved))  # norm, then REPEAT
        key = tape.add(inner, tape.add(step.bytes(recurrence.key), convolved))
        gates = tape.add(step.bytes(2 * recurrence.heads), normed)
        out = tape.add(inner + recurrence.state * per_sequence, query, key, convolved, gates, state)
        tape.add(0, out)
        normalised = tape.add(inner, out)
        gate = tape.add(inner, normed)
        return tape.add(width, tape.add(inner, normalised, gate, in_place=True))
    projected = tape.add(step.bytes(recurrence.projection), normed)
    joined = tape.add(channels + recurrence.convolution * per_sequence, *past, projected)
    tape.add(0, joined)
    convolved = tape.add(channels, joined)
    times = tape.add(step.bytes(recurrence.heads), projected)
    scanned = tape.add(inner + recurrence.state * per_sequence, convolved, times)  # SSM_SCAN
    tape.add(0, scanned)
    gate = tape.add(inner, projected)  # CONT
    skipped = tape.add(inner, convolved)
    summed = tape.add(inner, scanned, skipped, in_place=True)
    return tape.add(width, tape.add(inner, gate, summed))  # SWIGLU, then the projection


def _add_feed_forward(
    tape: Tape, block: Block, step: Step, residual: int, coming: Block | None
) -> tuple[int, int | None]:
    width = step.bytes(block.width)
    normed = tape.add(width, residual)
    result: int | None = None
    if block.experts is not None:
        result = add_experts(tape, block.experts, step, normed, width)
    history = add_history(tape, coming, step)
    for part in (block.shared_expert, block.feed_forward):
        if part.width:
            own = add_dense(tape, part, step, normed, width)
            result = own if result is None else tape.add(width, result, own, in_place=True)
    return residual if result is None else tape.add(width, result, residual, in_place=True), history
