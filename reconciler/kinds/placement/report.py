"""What an engine says of its buffers when it loads, beside what was reckoned. Pure.

The lines stand in its log from verbosity 4 on: `RPC0[host:port] model buffer size = 1.23 MiB`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.types import Bytes
from reconciler.kinds.placement.types import Record

MIB = 1024**2
_LOADING = "load_model: loading model"
_BUFFER = re.compile(r"(\S+)\s+(?:model|KV|RS|compute) buffer size =\s+([\d.]+) MiB")
_PEER = re.compile(r"^RPC\d+\[(?P<address>\S+)\]$")
_CUDA = re.compile(r"^CUDA(\d+)$")
_METAL = "MTL"


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes per device as the engine reported them, beside the prediction."""

    device: str
    predicted: Bytes
    reported: Bytes

    @property
    def gap(self) -> float:
        """Of the prediction, as a share of what was reported; below 0: it was too low."""
        return (self.predicted - self.reported) / max(1, self.reported)


def read_report(lines: Iterable[str], record: Record, visible: tuple[str, ...]) -> tuple[Measured, ...]:
    """Compare the last load in a log with its placement; empty where the log does not tell.

    Projectors and draft models report in other words, so runtimes with such are left out.
    """
    if any(part.beside for part in record.devices):
        return ()
    sizes = _last_load(lines, visible)
    if not all(part.id in sizes for part in record.devices):
        return ()
    return tuple(Measured(part.id, part.total, sizes[part.id]) for part in record.devices)


def _last_load(lines: Iterable[str], visible: tuple[str, ...]) -> Mapping[str, Bytes]:
    sizes: dict[str, Bytes] = {}
    for line in lines:
        if _LOADING in line:
            sizes = {}
        elif found := _BUFFER.search(line):
            device = _device(found[1], visible)
            if device is not None:
                sizes[device] = Bytes(sizes.get(device, 0) + round(float(found[2]) * MIB))
    return sizes


def _device(label: str, visible: tuple[str, ...]) -> str | None:
    """The device's id in placements; None for RAM."""
    if peer := _PEER.match(label):
        return peer["address"]
    if cuda := _CUDA.match(label):
        return visible[int(cuda[1])] if int(cuda[1]) < len(visible) else None
    return "metal" if label.startswith(_METAL) else None
