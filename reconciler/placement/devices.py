"""What placement may use: GPUs with their budget and speed, and the RAM beside them."""

import re
from dataclasses import dataclass

from reconciler.core.types import Bytes

MARGIN = Bytes(64 * 1024**2)
"""Kept free per device beyond the reserve; estimates were seen to be under by a third of it at most."""
RAM_BANDWIDTH = 40e9
"""Two channels of DDR4-3200 in practice, in bytes per second; the assumption where nothing was measured."""
UNKNOWN_GPU_BANDWIDTH = 300e9

_GIGABYTES_PER_SECOND = {
    "RTX PRO 6000": 1792, "RTX 5090": 1792, "RTX 5080": 960, "RTX 5070 TI": 896, "RTX 5070": 672,
    "RTX 5060 TI": 448, "RTX 5060": 448, "RTX 5050": 320, "RTX 4090": 1008, "RTX 4080 SUPER": 736,
    "RTX 4080": 717, "RTX 4070 TI SUPER": 672, "RTX 4070 TI": 504, "RTX 4070 SUPER": 504, "RTX 4070": 504,
    "RTX 4060 TI": 288, "RTX 4060": 272, "RTX 3090 TI": 1008, "RTX 3090": 936, "RTX 3080 TI": 912,
    "RTX 3080": 760, "RTX 3070 TI": 608, "RTX 3070": 448, "RTX 3060 TI": 448, "RTX 3060": 360,
    "RTX 3050": 224,
    "RTX 2080 TI": 616, "RTX 2080 SUPER": 496, "RTX 2080": 448, "RTX 2070": 448, "RTX 2060": 336,
    "GTX 1660 TI": 288, "GTX 1660": 192, "GTX 1080 TI": 484, "GTX 1080": 320, "GTX 1070": 256,
    "GTX 1060": 192,
    "RTX 6000 ADA": 960, "RTX A6000": 768, "RTX A5000": 768, "RTX A4000": 448, "TITAN RTX": 672,
    "B200": 8000, "H200": 4800, "H100 PCIE": 2000, "H100": 3350, "A100": 1555, "A40": 696, "A10": 600,
    "A30": 933, "L40S": 864, "L40": 864, "L4": 300, "T4": 320, "V100": 900, "P40": 346, "P100": 732,
    "M4 ULTRA": 1092, "M4 MAX": 546, "M4 PRO": 273, "M4": 120, "M3 ULTRA": 819, "M3 MAX": 400, "M3 PRO": 150,
    "M3": 100, "M2 ULTRA": 800, "M2 MAX": 400, "M2 PRO": 200, "M2": 100, "M1 ULTRA": 800, "M1 MAX": 400,
    "M1 PRO": 200, "M1": 68,
}  # fmt: skip
"""Memory bandwidth as the makers state it, by a part of the name."""


def known_bandwidth(name: str) -> float | None:
    """Bytes per second of the GPU with this name; None where the table does not know it."""
    upper = name.upper()
    found = [
        part
        for part in _GIGABYTES_PER_SECOND
        if re.search(rf"(?<![A-Z0-9]){re.escape(part)}(?![A-Z0-9])", upper)
    ]
    return _GIGABYTES_PER_SECOND[max(found, key=len)] * 1e9 if found else None


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that may be used."""

    id: str
    """Its UUID."""
    budget: Bytes
    """What a runtime may take on it, reserve and other runtimes deducted."""
    bandwidth: float
    """Bytes per second; from the table, the spec or a measurement."""

    @property
    def room(self) -> int:
        return max(0, self.budget - MARGIN)


@dataclass(frozen=True, slots=True)
class Host:
    """RAM and the CPU."""

    budget: Bytes
    bandwidth: float = RAM_BANDWIDTH
