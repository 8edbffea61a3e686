"""Tensor types of the GGUF format: how many elements share a block and how many bytes a block takes.

Source: `ggml_type` in ggml.h and the block structs in ggml-common.h, build b11434. A test
compares the table with the `gguf` package.
"""

from typing import NamedTuple

from reconciler.core.types import Bytes


class TensorType(NamedTuple):
    """A tensor encoding; a row of `block` elements takes `block_bytes` bytes."""

    id: int
    name: str
    block: int
    block_bytes: int

    def row_bytes(self, elements: int) -> Bytes:
        """Bytes of one row; ValueError when the row is no whole number of blocks."""
        if elements % self.block:
            raise ValueError(
                f"a row of {elements} elements is no multiple of {self.name}'s block of {self.block}"
            )
        return Bytes(elements // self.block * self.block_bytes)

    @property
    def quantised(self) -> bool:
        return self.block > 1


TENSOR_TYPES: dict[int, TensorType] = {
    number: TensorType(number, name, block, size)
    for number, name, block, size in (
        (0, "f32", 1, 4),
        (1, "f16", 1, 2),
        (2, "q4_0", 32, 18),
        (3, "q4_1", 32, 20),
        (6, "q5_0", 32, 22),
        (7, "q5_1", 32, 24),
        (8, "q8_0", 32, 34),
        (9, "q8_1", 32, 36),
        (10, "q2_k", 256, 84),
        (11, "q3_k", 256, 110),
        (12, "q4_k", 256, 144),
        (13, "q5_k", 256, 176),
        (14, "q6_k", 256, 210),
        (15, "q8_k", 256, 292),
        (16, "iq2_xxs", 256, 66),
        (17, "iq2_xs", 256, 74),
        (18, "iq3_xxs", 256, 98),
        (19, "iq1_s", 256, 50),
        (20, "iq4_nl", 32, 18),
        (21, "iq3_s", 256, 110),
        (22, "iq2_s", 256, 82),
        (23, "iq4_xs", 256, 136),
        (24, "i8", 1, 1),
        (25, "i16", 1, 2),
        (26, "i32", 1, 4),
        (27, "i64", 1, 8),
        (28, "f64", 1, 8),
        (29, "iq1_m", 256, 56),
        (30, "bf16", 1, 2),
        (34, "tq1_0", 256, 54),
        (35, "tq2_0", 256, 66),
        (39, "mxfp4", 32, 17),
        (40, "nvfp4", 64, 36),
        (41, "q1_0", 128, 18),
        (42, "q2_0", 64, 18),
    )
}

REMOVED_TYPES: dict[int, str] = {
    4: "q4_2",
    5: "q4_3",
    31: "q4_0_4_4",
    32: "q4_0_4_8",
    33: "q4_0_8_8",
    36: "iq4_nl_4_4",
    37: "iq4_nl_4_8",
    38: "iq4_nl_8_8",
}
"""Numbers that old files may carry and that no current engine loads."""

_BY_NAME = {known.name: known for known in TENSOR_TYPES.values()}


def tensor_type(name: str) -> TensorType:
    """The type of this name as llama.cpp's flags write it (`f16`, `q8_0`); KeyError when there is none."""
    return _BY_NAME[name.lower()]
