import time
from collections.abc import Callable
from dataclasses import replace

from reconciler.core.types import Bytes
from reconciler.placement.compute import segment_bytes
from reconciler.placement.devices import Device, Host
from reconciler.placement.memory import Model
from reconciler.placement.settings import Settings
from reconciler.placement.split import fit

GIB = 1024**3
CARDS = tuple(
    Device(name, Bytes(size * GIB), speed * 1e9)
    for name, size, speed in (("a", 15, 960), ("b", 11, 360), ("c", 10, 484))
)
USUAL = ("qwen2.5-7b", "llama-3.1-8b", "qwen3-4b", "gemma-3-12b", "gpt-oss-20b")


def test_a_hundred_models_are_placed_on_three_gpus_at_once(model: Callable[[str], Model]):
    """200 ms is the promise; the limit leaves room for a busy machine. The table shows what it was."""
    models = [
        replace(one, architecture=replace(one.architecture, vocabulary=one.architecture.vocabulary + number))
        for number in range(20)
        for one in map(model, USUAL)
    ]
    segment_bytes.cache_clear()
    started = time.perf_counter()
    for number, one in enumerate(models):
        fit(one, Settings(8192 + 1024 * (number % 9)), CARDS, Host(Bytes(100 * GIB)))
    seconds = time.perf_counter() - started
    print(f"{len(models)} models on {len(CARDS)} GPUs: {seconds * 1000:.0f} ms")
    assert seconds < 2
