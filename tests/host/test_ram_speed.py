"""Measured, so only what holds on any machine is asked."""

import time

from reconciler.host.ram_speed import measure_ram_bandwidth

MIB = 1024**2


def test_ram_is_read_no_slower_than_python_copies_it() -> None:
    source = bytearray(64 * MIB)
    passes = []
    for _ in range(3):
        started = time.perf_counter()
        bytes(source)
        passes.append(time.perf_counter() - started)
    copied = len(source) / min(passes)
    assert measure_ram_bandwidth(1, available=2048 * MIB) > copied / 2


def test_little_memory_is_enough() -> None:
    assert measure_ram_bandwidth(2, available=4 * MIB) > 0
