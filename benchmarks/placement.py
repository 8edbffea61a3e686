"""How fast placing is: a hundred models on three GPUs, and one that overrides-cache keeps."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reconciler.core.types import Bytes, ModelId, ProfileName, Sha256, UnitName
from reconciler.host.overrides_cache import read_placement, write_placement
from reconciler.kinds.placement.document import file_name
from reconciler.kinds.placement.figures import Figures
from reconciler.kinds.placement.plan import settle
from reconciler.kinds.placement.recall import recall
from reconciler.kinds.placement.remember import remembered
from reconciler.kinds.placement.types import Device, DeviceKind, Ground, Wish
from reconciler.placement.compute import segment_bytes
from reconciler.placement.memory import Model, read_model_figures

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.placement import shapes

GIB = 1024**3
MODELS = 100
USUAL = ("qwen2.5-7b", "llama-3.1-8b", "qwen3-4b", "gemma-3-12b", "gpt-oss-20b")
PLACED_SECONDS, KEPT_SECONDS = 0.2, 0.001
RUNS = 5
GROUND = Ground(
    profile=ProfileName("max"),
    devices=tuple(
        Device(DeviceKind.NVIDIA, name, name, Bytes(size * GIB), speed * 1e9)
        for name, size, speed in (("a", 16, 960), ("b", 12, 360), ("c", 11, 484))
    ),
    ram=Bytes(64 * GIB),
    ram_bandwidth=40e9,
    reserved_ram=Bytes(2 * GIB),
    reserved_vram=Bytes(GIB),
    engine="llama-server b11434",
)


def wish(number: int) -> Wish:
    return Wish(
        unit=UnitName(f"llama@model-{number}-max"),
        model=ModelId(f"model-{number}"),
        version="v1",
        strategy="auto",
        shares=None,
        context_tokens=8192 + 1024 * (number % 9),
        parallel=1,
        embedding=False,
        cache_ram=Bytes(0),
        flags=(),
        artifacts=(("model.gguf", Sha256(f"{number:064}")),),
    )


def median(do: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
    times = []
    for _ in range(RUNS):
        prepare()
        begin = time.perf_counter()
        do()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def distinct(models: list[Model]) -> list[Model]:
    """A hundred models of which no two share their buffers."""
    return [
        replace(one, architecture=replace(one.architecture, vocabulary=one.architecture.vocabulary + number))
        for number in range(MODELS // len(models))
        for one in models
    ]


def report(name: str, seconds: float, goal: float) -> None:
    verdict = "✓" if seconds <= goal else "✗"
    print(f"  {name:<46} {seconds * 1000:8.2f} ms  goal {goal * 1000:g} ms {verdict}")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = distinct(
            [read_model_figures(shapes.header(shapes.write(shapes.shape(one), folder))) for one in USUAL]
        )
        wishes = [wish(number) for number in range(MODELS)]

        def place_each() -> None:
            for one, model in zip(wishes, models, strict=True):
                settle([one], GROUND, recall([one], GROUND, {}), {one.unit: Figures(model)})

        seconds = median(place_each, segment_bytes.cache_clear)
        first = wishes[0]
        plan = settle([first], GROUND, recall([first], GROUND, {}), {first.unit: Figures(models[0])})
        path = folder / "overrides-cache" / file_name(first.unit)
        write_placement(path, plan.operations[0].payload.text)

        def keep_one() -> None:
            kept = recall([first], GROUND, {first.unit: read_placement(path) or ""}).kept
            assert first.unit in kept
            remembered([first], GROUND, kept)

        print(f"\nPlacement (median of {RUNS})")
        report(f"{MODELS} models on {len(GROUND.devices)} GPUs", seconds, PLACED_SECONDS)
        report("one that is kept, read and compared", median(keep_one), KEPT_SECONDS)


if __name__ == "__main__":
    main()
