"""Write small GGUF files: version 3, little-endian, float32 tensors; needs no numpy.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

ALIGNMENT = 32
"""Every tensor's data starts at a multiple of this many bytes."""

Scalar = bool | int | float | str
Value = Scalar | Sequence[str] | Sequence[int] | Sequence[float]

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_F32 = 0


@dataclass(frozen=True, slots=True)
class FloatTensor:
    """A float32 tensor; `dims` has the row length first, as ggml counts."""

    name: str
    dims: tuple[int, ...]
    data: "array[float]"

    def __post_init__(self) -> None:
        if len(self.data) != prod(self.dims) or self.data.typecode != "f":
            raise ValueError(f"{self.name}: {len(self.data)} elements do not fill {self.dims} with float32")


def write_gguf(metadata: Mapping[str, Value], tensors: Sequence[FloatTensor]) -> Iterator[bytes]:
    """Yield the file piece by piece: header, then each tensor with its padding.

    A whole number is written as uint32, in a list as int32, a fraction as float32 in both: the types that
    llama.cpp wants for hyper-parameters, token types and scores. ValueError when a value fits none of them.
    """
    header = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        header += _string(key) + _value(key, value)
    offset = 0
    for tensor in tensors:
        header += _string(tensor.name) + struct.pack("<I", len(tensor.dims))
        header += struct.pack(f"<{len(tensor.dims)}QIQ", *tensor.dims, _TENSOR_F32, offset)
        offset += _padded(4 * len(tensor.data))
    yield bytes(header).ljust(_padded(len(header)), b"\0")
    for tensor in tensors:
        data = tensor.data.tobytes() if sys.byteorder == "little" else _swapped(tensor.data)
        yield data.ljust(_padded(len(data)), b"\0")


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _swapped(data: "array[float]") -> bytes:
    copy = data[:]
    copy.byteswap()
    return copy.tobytes()


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(key: str, value: Value) -> bytes:
    try:
        if isinstance(value, bool | int | float | str):
            kind, data = _scalar(value)
            return struct.pack("<I", kind) + data
        return _list(value)
    except struct.error as error:
        raise ValueError(f"{key}: {value!r} is out of range") from error


def _scalar(value: Scalar) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return _BOOL, struct.pack("<B", value)
    if isinstance(value, int):
        return _UINT32, struct.pack("<I", value)
    if isinstance(value, float):
        return _FLOAT32, struct.pack("<f", value)
    return _STRING, _string(value)


def _list(values: Sequence[str] | Sequence[int] | Sequence[float]) -> bytes:
    if all(isinstance(value, str) for value in values):
        kind, data = _STRING, b"".join(_string(str(value)) for value in values)
    elif all(isinstance(value, int) for value in values):
        kind, data = _INT32, struct.pack(f"<{len(values)}i", *values)
    else:
        kind, data = _FLOAT32, struct.pack(f"<{len(values)}f", *values)
    return struct.pack("<IIQ", _ARRAY, kind, len(values)) + data
