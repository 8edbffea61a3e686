"""Reads GGUF headers, versions 2 and 3, little endian, in bounded time and memory.

Format: docs/gguf.md of ggml-org/ggml; the limits are those of llama.cpp's own loader where it has one.
"""

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

from reconciler.core.errors import FormatError
from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader, Scalar, Tensor, Value
from reconciler.gguf.types import REMOVED_TYPES, TENSOR_TYPES, TensorType
from reconciler.gguf.window import ReadAt, Window

MAX_KEYS = 65_536
MAX_TENSORS = 262_144
MAX_KEY_BYTES = 65_535
MAX_STRING_BYTES = 8 * 1024 * 1024
MAX_TENSOR_NAME = 63
"""`GGML_MAX_NAME` less its terminating zero."""
KEPT_ELEMENTS = 1024
"""Numeric arrays up to here are per-layer figures and kept; llama.cpp knows at most 512 layers."""
KEPT_STRINGS = 64
DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS: dict[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32 = struct.Struct("<I")
_DIMS = {count: struct.Struct(f"<{count}QIQ") for count in (1, 2, 3, 4)}
_VERSIONS = (2, 3)


class Part(NamedTuple):
    """One file of a model: how to read it, and what to call it in errors."""

    read_at: ReadAt
    name: str


def read_header(part: Part, number: int = 0) -> GgufHeader:
    """Read the header of a model's file number `number`, counted from 0.

    Raises FormatError for anything that llama.cpp would not load either.
    """
    window = Window(part.read_at, part.name)
    version, tensor_count, key_count = _read_preamble(window)
    metadata: dict[str, Value] = {}
    array_counts: dict[str, int] = {}
    for _ in range(key_count):
        _read_pair(window, metadata, array_counts)
    alignment = _alignment(window, metadata)
    tensors = _read_tensors(window, tensor_count, alignment, number)
    data_offset = _aligned(window.position, alignment)
    _check_extent(window, tensors, data_offset, part.read_at.size)
    return GgufHeader(
        version=version,
        metadata=metadata,
        array_counts=array_counts,
        tensors=tensors,
        data_offset=data_offset,
        alignment=alignment,
    )


def read_model(parts: Sequence[Part]) -> GgufHeader:
    """Read the headers of all files of a model, in order, and join them into one."""
    headers = [read_header(part, number) for number, part in enumerate(parts)]
    first = headers[0]
    expected = first.split_count
    if len(headers) != expected:
        raise FormatError(
            f"{parts[0].name} is one of {expected} files, but {len(headers)} are given",
            hint="name the first file of the set; all of them must be there",
        )
    if expected == 1:
        return first
    tensors: list[Tensor] = []
    for number, (part, header) in enumerate(zip(parts, headers, strict=True)):
        if header.metadata.get("split.no", 0) != number or header.split_count != expected:
            raise FormatError(
                f"{part.name} is not file {number + 1} of {expected} of this model",
                hint="give the files of one split model in their order",
            )
        tensors += header.tensors
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise FormatError(
            f"{parts[0].name} and its further files name a tensor twice", hint="download the set again"
        )
    promised = first.metadata.get("split.tensors.count", len(tensors))
    if promised != len(tensors):
        raise FormatError(
            f"{parts[0].name} promises {promised} tensors, its {expected} files hold {len(tensors)}",
            hint="download the set again; its files are not of one model",
        )
    return first._replace(tensors=tuple(tensors))


def _read_preamble(window: Window) -> tuple[int, int, int]:
    magic = window.take(4)
    if magic != b"GGUF":
        raise window.fail(f"it begins with {magic!r}, not with b'GGUF'")
    raw = window.take(4)
    (version,) = _U32.unpack(raw)
    if version not in _VERSIONS:
        if int.from_bytes(raw, "big") in _VERSIONS:
            raise window.fail("it is big endian; only little endian files are served")
        raise window.fail(f"its version is {version}; versions 2 and 3 are known")
    tensor_count, key_count = window.u64(), window.u64()
    if key_count > MAX_KEYS:
        raise window.fail(f"it claims {key_count} metadata keys")
    if tensor_count > MAX_TENSORS:
        raise window.fail(f"it claims {tensor_count} tensors")
    return version, tensor_count, key_count


def _read_pair(window: Window, metadata: dict[str, Value], array_counts: dict[str, int]) -> None:
    key = window.string(MAX_KEY_BYTES, "a metadata key")
    if not key or key in metadata or key in array_counts:
        raise window.fail(f"metadata key {key!r} appears twice" if key else "a metadata key is empty")
    (kind,) = window.unpack(_U32)
    if kind != _ARRAY:
        metadata[key] = _read_value(window, kind, key)
        return
    (element,) = window.unpack(_U32)
    count = window.u64()
    array_counts[key] = count
    kept = _read_array(window, element, count, key)
    if kept is not None:
        metadata[key] = kept


def _read_value(window: Window, kind: int, key: str) -> Scalar:
    if kind == _STRING:
        return window.string(MAX_STRING_BYTES, f"the value of {key}")
    layout = _SCALARS.get(kind)
    if layout is None:
        raise window.fail(f"metadata key {key} has the unknown type {kind}")
    value: Scalar = window.unpack(layout)[0]
    return value


def _read_array(window: Window, element: int, count: int, key: str) -> tuple[Scalar, ...] | None:
    """The elements of a short array; None for a long one, which is passed over."""
    if element == _STRING:
        if count > KEPT_STRINGS:
            window.skip_strings(count)
            return None
        return tuple(window.string(MAX_STRING_BYTES, f"an element of {key}") for _ in range(count))
    layout = _SCALARS.get(element)
    if layout is None:
        raise window.fail(f"array {key} has elements of type {element}, which cannot be in an array")
    if count > KEPT_ELEMENTS:
        window.skip(count * layout.size)
        return None
    return tuple(struct.unpack(f"<{count}{layout.format[1]}", window.take(count * layout.size)))


def _alignment(window: Window, metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1) or alignment > 2**20:
        raise window.fail(f"its alignment {alignment!r} is no power of two up to 1 MiB")
    return alignment


def _read_tensors(window: Window, count: int, alignment: int, part: int) -> tuple[Tensor, ...]:
    tensors: dict[str, Tensor] = {}
    for _ in range(count):
        name = window.string(MAX_TENSOR_NAME, "a tensor name")
        if name in tensors:
            raise window.fail(f"tensor {name!r} appears twice")
        (rank,) = window.unpack(_U32)
        layout = _DIMS.get(rank)
        if layout is None:
            raise window.fail(f"tensor {name!r} has {rank} dimensions")
        values = window.unpack(layout)
        dims, number, offset = values[:rank], values[rank], values[-1]
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            raise _unknown_type(window, name, number)
        nbytes = _tensor_bytes(window, name, dims, kind)
        if offset % alignment:
            raise window.fail(f"tensor {name!r} lies at {offset}, which is not aligned to {alignment}")
        tensors[name] = Tensor(name, dims, kind, offset, nbytes, part)
    return tuple(tensors.values())


def _unknown_type(window: Window, name: str, number: int) -> FormatError:
    if number in REMOVED_TYPES:
        failure = window.fail(f"tensor {name!r} is {REMOVED_TYPES[number]}, which llama.cpp dropped")
        failure.hint = "take a newer file of this model; its Q4_0 is repacked at load time"
        return failure
    failure = window.fail(f"tensor {name!r} has the unknown type {number}")
    failure.hint = "a newer modelctl may know it"
    return failure


def _tensor_bytes(window: Window, name: str, dims: tuple[int, ...], kind: TensorType) -> Bytes:
    if dims[0] % kind.block:
        raise window.fail(f"tensor {name!r} has rows of {dims[0]}, no multiple of {kind.name}'s {kind.block}")
    total = math.prod(dims) // kind.block * kind.block_bytes
    if max(dims) >= 2**63 or total >= 2**63:
        raise window.fail(f"tensor {name!r} has impossible dimensions {list(dims)}")
    return Bytes(total)


def _check_extent(window: Window, tensors: tuple[Tensor, ...], data_offset: int, size: int | None) -> None:
    if size is None or not tensors:
        return
    end = data_offset + max(tensor.offset + tensor.nbytes for tensor in tensors)
    if end > size:
        last = max(tensors, key=lambda tensor: tensor.offset + tensor.nbytes)
        raise window.fail(f"tensor {last.name!r} ends at byte {end}, the file at {size}: it is cut short")


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
