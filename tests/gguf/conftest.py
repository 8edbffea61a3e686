"""Bytes that look like a file, and small GGUF headers written field by field, so that each can be wrong."""

import struct
from dataclasses import dataclass, field

import pytest


@dataclass
class BytesFile:
    """Counts its reads and remembers how much was asked for."""

    data: bytes
    known_size: bool = True
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int | None:
        return len(self.data) if self.known_size else None

    def __call__(self, offset: int, size: int, /) -> bytes:
        self.reads.append((offset, size))
        return self.data[offset : offset + size]


class RawGguf:
    """Writes headers without any check."""

    def __init__(self, version: int = 3) -> None:
        self.version = version
        self.keys: list[bytes] = []
        self.tensors: list[bytes] = []
        self.key_count: int | None = None
        self.tensor_count: int | None = None

    @staticmethod
    def string(text: str | bytes) -> bytes:
        raw = text.encode() if isinstance(text, str) else text
        return struct.pack("<Q", len(raw)) + raw

    def key(self, name: str | bytes, kind: int, value: bytes) -> "RawGguf":
        self.keys.append(self.string(name) + struct.pack("<I", kind) + value)
        return self

    def text(self, name: str, value: str | bytes) -> "RawGguf":
        return self.key(name, 8, self.string(value))

    def number(self, name: str, value: int) -> "RawGguf":
        return self.key(name, 4, struct.pack("<I", value))

    def array(self, name: str, kind: int, count: int, payload: bytes) -> "RawGguf":
        return self.key(name, 9, struct.pack("<IQ", kind, count) + payload)

    def tensor(self, name: str | bytes, dims: list[int], kind: int = 0, offset: int = 0) -> "RawGguf":
        shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        self.tensors.append(self.string(name) + shape + struct.pack("<IQ", kind, offset))
        return self

    def build(self, data: int = 0) -> bytes:
        counts = struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        head = b"GGUF" + counts + b"".join(self.keys) + b"".join(self.tensors)
        return head + b"\0" * (-len(head) % 32) + b"\0" * data


@pytest.fixture
def raw() -> RawGguf:
    return RawGguf()
