"""Feed-forward weights that stay in RAM while the rest of their layer is on a device."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PARTS = ("gate", "up", "down", "gate_exps", "up_exps", "gate_up_exps", "down_exps")
"""As tensors are named behind `ffn_`, in the order in which llama.cpp computes them."""
_NAME = re.compile(r"^ffn_((?:gate|up|down)(?:_exps)?|gate_up_exps)\.")


@dataclass(frozen=True, slots=True)
class Overflow:
    """Of one layer the `parts` whose weights stay in RAM, in the order of `PARTS`."""

    layer: int
    parts: tuple[str, ...]


def part_of(name: str) -> int | None:
    """Which of `PARTS` this tensor of a block belongs to; None: another."""
    found = _NAME.match(name)
    return PARTS.index(found[1]) if found else None


def of_experts(part: str) -> bool:
    """Whether this one of `PARTS` is many experts', of which few are read for a token."""
    return part.endswith("_exps")


def choices(sizes: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """What of a feed-forward with `sizes` per part may stay in RAM, by the bytes that it comes to.

    Of its experts where it has any. Always the last part and those right before it, so that only one result
    has to come back.
    """
    there = [part for part, size in zip(PARTS, sizes, strict=True) if size]
    there = [part for part in there if of_experts(part)] or there
    left = [tuple(there[begin:]) for begin in range(len(there))]
    return {sum(sizes[PARTS.index(part)] for part in parts): parts for parts in left}


def override_pattern(overflow: Iterable[Overflow], place: str = "CPU") -> str:
    """For `--override-tensor`: a pattern for all layers of which the same parts lie at this place."""
    layers: dict[tuple[str, ...], list[int]] = {}
    for one in overflow:
        layers.setdefault(one.parts, []).append(one.layer)
    return ",".join(
        rf"^blk\.{_one_of(sorted(numbers))}\.ffn_{_one_of(parts)}\.={place}"
        for parts, numbers in layers.items()
    )


def _one_of(words: Iterable[str | int]) -> str:
    found = [str(word) for word in words]
    return found[0] if len(found) == 1 else f"({'|'.join(found)})"
