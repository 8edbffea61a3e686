"""Ours against llama.cpp's own accounting: weights and caches exact, no device's total far off."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.placement.oracle import DOCUMENT, Row, measure, table, written

MOST_OVER = 3.0
MOST_UNDER = -1.0
SMALL = 4
"""MiB: sums of three figures that llama.cpp prints rounded down."""


def check(rows: Sequence[Row]) -> None:
    inexact = [row for row in rows if row.ours[:2] != row.theirs[:2]]
    assert not inexact, f"weights or caches differ: {inexact[:3]}"
    off = [
        row
        for row in rows
        if not MOST_UNDER <= row.error <= MOST_OVER and abs(sum(row.ours) - sum(row.theirs)) > SMALL
    ]
    assert not off, "\n".join(f"{row} {row.error:+.1f} %" for row in off)


@pytest.mark.parametrize("name", ["qwen2.5-7b", "gemma-3-12b", "qwen3-30b-a3b", "granite-4-h-small"])
def test_memory_is_what_llama_cpp_says(name: str, models: Path, devices: tuple[str, ...]):
    check(measure(models, devices, names=[name], contexts=[16384], caches=["f16", "q8_0"]))


@pytest.mark.slow
def test_memory_is_what_llama_cpp_says_over_all_shapes(models: Path, devices: tuple[str, ...]):
    rows = measure(models, devices)
    print(table(rows))
    check(rows)
    document = DOCUMENT.read_text()
    assert document == written(document, table(rows)), "write it anew: python -m tests.placement.oracle"
