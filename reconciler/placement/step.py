"""One step of computation, for which buffers are sized."""

from dataclasses import dataclass

F32 = 4
"""Bytes of a number in between."""


@dataclass(frozen=True, slots=True)
class Step:
    """Tokens at once, sequences among them, wanted logits."""

    tokens: int
    sequences: int
    outputs: int
    flash_attention: bool
    cells: int
    rotate_keys: bool
    """Keys are quantised, which llama.cpp helps by rotating them."""
    rotate_values: bool

    def bytes(self, per_token: int) -> int:
        return per_token * self.tokens * F32
