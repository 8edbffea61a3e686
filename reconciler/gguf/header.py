"""What a GGUF header says, without the vocabulary and without the data."""

from collections.abc import Mapping
from typing import NamedTuple

from reconciler.core.types import Bytes
from reconciler.gguf.types import TensorType

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]
"""A metadata value; arrays are kept only when they are short (per-layer figures, tags)."""


class Tensor(NamedTuple):
    """One tensor's place. `offset` counts from the data of its part; `dims` has the row length first.

    A tuple, because a header has thousands, and these are made in a fifth of a dataclass's time.
    """

    name: str
    dims: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: Bytes
    part: int = 0


class GgufHeader(NamedTuple):
    """The header of one file, or of all parts of a split model joined.

    A tuple too: importing `dataclasses` alone takes half as long as reading a large header.
    """

    version: int
    metadata: Mapping[str, Value]
    array_counts: Mapping[str, int]
    """Lengths of all arrays, also of those whose elements were skipped (`tokenizer.ggml.tokens`)."""
    tensors: tuple[Tensor, ...]
    data_offset: int
    """Where the data of the first part begins, in bytes from its start."""
    alignment: int

    @property
    def architecture(self) -> str:
        """`general.architecture`, empty when the file does not say."""
        value = self.metadata.get("general.architecture", "")
        return value if isinstance(value, str) else ""

    @property
    def tensor_bytes(self) -> Bytes:
        """Bytes of all tensors, without padding."""
        return Bytes(sum(tensor.nbytes for tensor in self.tensors))

    @property
    def token_count(self) -> int:
        return self.array_counts.get("tokenizer.ggml.tokens", 0)

    @property
    def split_count(self) -> int:
        """Number of files of the split model that this header belongs to; 1 when it is not split."""
        value = self.metadata.get("split.count", 1)
        return max(1, value) if isinstance(value, int) else 1
