"""Wishes, ground and figures for tests of placements."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.types import Bytes, ModelId, ProfileName, Sha256, UnitName
from reconciler.kinds.placement.figures import Figures
from reconciler.kinds.placement.plan import PlacementPlan, settle
from reconciler.kinds.placement.recall import recall
from reconciler.kinds.placement.types import Device, DeviceKind, Ground, Wish
from reconciler.placement.memory import read_model_figures
from tests.placement import shapes

GIB = 1024**3
GROUND = Ground(
    profile=ProfileName("max"),
    devices=(
        Device(DeviceKind.NVIDIA, "GPU-a", "RTX 5080", Bytes(16 * GIB), 960e9),
        Device(DeviceKind.NVIDIA, "GPU-b", "RTX 3060", Bytes(12 * GIB), 360e9),
    ),
    ram=Bytes(64 * GIB),
    ram_bandwidth=40e9,
    reserved_ram=Bytes(4 * GIB),
    reserved_vram=Bytes(GIB),
    engine="llama-server b11434",
)

GetFigures = Callable[[str], Figures]
Files = dict[UnitName, str]


def wish(name: str, **changes: object) -> Wish:
    plain = Wish(
        unit=UnitName(f"llama@{name}-max"),
        model=ModelId(name),
        version="v1",
        strategy="auto",
        shares=None,
        context_tokens=8192,
        parallel=1,
        embedding=False,
        cache_ram=Bytes(0),
        flags=(),
        artifacts=(("model.gguf", Sha256("a" * 64)),),
        needs=(f"artifact:link:{name}@v1",),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] - any field


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> GetFigures:
    """The figures of a real shape by its name."""
    folder: Path = tmp_path_factory.mktemp("shapes")
    known: dict[str, Figures] = {}

    def read(name: str) -> Figures:
        if name not in known:
            header = shapes.header(shapes.write(shapes.shape(name), folder))
            known[name] = Figures(read_model_figures(header))
        return known[name]

    return read


def place(
    wanted: dict[Wish, Figures], files: Files | None = None, ground: Ground = GROUND, **more: object
) -> PlacementPlan:
    """Place wishes, each with the figures of its model."""
    found = {one.unit: figures for one, figures in wanted.items()}
    recalled = recall(list(wanted), ground, files or {})
    return settle(list(wanted), ground, recalled, found, **more)  # type: ignore[arg-type] - as settle's


def written(plan: PlacementPlan) -> Files:
    """What overrides-cache holds after the plan was applied."""
    return {UnitName(operation.resource): operation.payload.text for operation in plan.operations}
