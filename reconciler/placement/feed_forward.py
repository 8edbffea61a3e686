"""The feed-forward of one block as llama.cpp builds it, with and without experts, whole or partly in RAM."""

from reconciler.placement.arena import Tape
from reconciler.placement.block import Experts, FeedForward
from reconciler.placement.step import Step


def add_dense(tape: Tape, part: FeedForward, step: Step, normed: int, width: int) -> int:
    """A feed-forward without experts; `width` in bytes."""
    inner = step.bytes(part.width)
    if part.away:
        return _add_divided(tape, part, step, normed, width)
    if part.fused:
        return tape.add(width, tape.add(inner, tape.add(2 * inner, normed)))
    if part.gated:
        gate = tape.add(inner, normed)
        return tape.add(width, tape.add(inner, gate, tape.add(inner, normed)))
    return tape.add(width, tape.add(inner, normed))


def _add_divided(tape: Tape, part: FeedForward, step: Step, normed: int, width: int) -> int:
    """The CPU copies what it needs, then its result comes back."""
    operands = [
        tape.add(step.bytes(part.width * (2 if part.fused else 1)), normed)
        for name in part.parts[:-1]
        if name not in part.away
    ]
    if part.away == ("down",):
        operands = [tape.add(step.bytes(part.width), *operands)]
    tape.add(0, normed, *operands)
    return tape.add(width)


def add_dense_alone(tape: Tape, part: FeedForward, step: Step, width: int) -> int:
    """The parts of one feed-forward that are away, on a device that computes nothing else of its block."""
    inner = step.bytes(part.width)
    if part.away == ("down",):
        return tape.add(step.bytes(width), tape.add(inner))
    normed = tape.add(step.bytes(width))
    operands = [tape.add(inner * (2 if part.fused else 1), normed) for _ in part.parts[:-1]]
    return tape.add(step.bytes(width), tape.add(inner, *operands))


def add_experts(tape: Tape, experts: Experts, step: Step, normed: int, width: int) -> int:
    """Experts with their choice; `width` in bytes."""
    chances = tape.add(step.bytes(experts.count), normed)
    ranked = tape.add(step.bytes(experts.count), chances) if experts.biased else chances
    chosen = tape.add(step.bytes(experts.count), ranked)  # ARGSORT
    weights = tape.add(step.bytes(experts.used), chances, chosen)
    if experts.away:
        # The CPU copies these, then its results come back.
        tape.add(0, chosen, *_operands(tape, experts, step, normed, chosen))
        return add_up_experts(tape, experts, tape.add(width * experts.used), weights, width)
    return _add_chosen_experts(tape, experts, step, (normed, chosen, weights), width)


def _operands(tape: Tape, experts: Experts, step: Step, normed: int, chosen: int) -> list[int]:
    """What the parts that are away take from those that are not."""
    here = experts.parts[: -len(experts.away)]
    inner = step.bytes(experts.width * experts.used)
    found = [tape.add(inner * (2 if part == "gate_up_exps" else 1), normed, chosen) for part in here]
    if len(experts.away) == 1:
        return [tape.add(inner, *found)]
    return [normed, *found]


def add_experts_alone(tape: Tape, experts: Experts, step: Step, width: int) -> int:
    """The parts of one block's experts that are away, on a device that computes nothing else of it."""
    inner = step.bytes(experts.width * experts.used)
    chosen = tape.add(step.bytes(experts.count))
    weights = tape.add(step.bytes(experts.used))
    if len(experts.away) == 1:
        down = tape.add(step.bytes(width * experts.used), tape.add(inner), chosen)
        return add_up_experts(tape, experts, down, weights, step.bytes(width))
    normed = tape.add(step.bytes(width))
    return _add_chosen_experts(tape, experts, step, (normed, chosen, weights), step.bytes(width))


def _add_chosen_experts(
    tape: Tape, experts: Experts, step: Step, operands: tuple[int, int, int], width: int
) -> int:
    normed, chosen, weights = operands
    inner = step.bytes(experts.width * experts.used)
    gate = tape.add(inner, normed, chosen)
    if experts.gated:
        gate = tape.add(inner, gate, tape.add(inner, normed, chosen))
    return add_up_experts(tape, experts, tape.add(width * experts.used, gate, chosen), weights, width)


def add_up_experts(tape: Tape, experts: Experts, down: int, weights: int, width: int) -> int:
    """What each chosen expert gave, weighed and added up; needs no weights of the model."""
    spread = tape.add(width * experts.used, down, weights, in_place=True)
    total = tape.add(width, spread, spread)
    for _ in range(experts.used - 2):
        total = tape.add(width, total, spread, in_place=True)
    return total
