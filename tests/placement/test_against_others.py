"""Expected time per token beside that of `--fit`, of equal shares and of gguf-tensor-overrider."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.placement.speed import DOCUMENT, ROOMS, Race, free_memory, run, table, written


@pytest.fixture(scope="module")
def servers(devices: tuple[str, ...]) -> tuple[str, ...]:
    if min(free_memory(devices)) < max(ROOMS):
        pytest.skip("this machine has less memory than the devices that are played")
    return devices


def check(races: Sequence[Race]) -> None:
    for one in races:
        print(one)
        assert one.fit is None or one.ours <= one.fit * (1 + 1e-9), one
        assert one.equal is None or one.ours <= one.equal * (1 + 1e-9), one
        assert one.ours <= one.overrider * (1 + 1e-9), one


@pytest.mark.parametrize(
    "name", ["qwen2.5-7b", "gemma-3-12b", "gpt-oss-20b", "qwen3-30b-a3b", "llama-3.1-70b"]
)
def test_nobody_is_faster(name: str, models: Path, servers: tuple[str, ...]) -> None:
    check(run(models, servers, names=[name], contexts=[16384], caches=["f16"]))


@pytest.mark.slow
def test_nobody_is_faster_over_all_shapes(models: Path, servers: tuple[str, ...]) -> None:
    races = run(models, servers)
    print(table(races))
    check(races)
    document = DOCUMENT.read_text()
    assert document == written(document, table(races)), "write it anew: python -m tests.placement.speed"
