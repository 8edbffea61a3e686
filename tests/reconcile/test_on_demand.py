"""What plans do for models that are loaded when asked for, and for models that nothing here can hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.core.gpu import HostMemory
from reconciler.core.plan import Plan
from reconciler.core.types import Bytes
from reconciler.reconcile import session
from reconciler.reconcile.plan import Request
from tests.placement import shapes
from tests.support.nvml.standin import FakeGpus

GIB = 1024**3
SETTINGS = (
    "settings: {store: store, supervisor: supervisord, engine: embedded, reserve: {ram: 4GiB, vram: 1GiB}}\n"
)


@dataclass
class Desk:
    """A spec over header-complete models of real shapes, on a machine with three played GPUs."""

    folder: Path

    def plan(self) -> Plan:
        source = session.read_source(self.folder / "spec")
        site = session.open_source(source)
        with site.state() as state:
            return session.plan(source, site, state, Request())

    def keep_placements(self, plan: Plan) -> None:
        """Only what the plan would write into overrides-cache."""
        source = session.read_source(self.folder / "spec")
        site = session.open_source(source)
        for operation in plan.operations:
            if operation.kind == "placement":
                site.overrides_cache.mkdir(exist_ok=True)
                (site.overrides_cache / operation.payload.file).write_text(operation.payload.text)

    def write(self, profiles: str, *models: str, settings: str = SETTINGS) -> None:
        (self.folder / "spec").mkdir(exist_ok=True)
        text = f"{settings}profiles: {profiles}\nmodels:\n" + "".join(models)
        (self.folder / "spec/models.yaml").write_text(text)

    def model(
        self, name: str, more: str = "", *, profiles: str = "{max: {}}", called: str | None = None
    ) -> str:
        folder = self.folder / "models"
        folder.mkdir(exist_ok=True)
        path = shapes.write(shapes.shape(name), folder)
        number = shapes.NAMES.index(name)
        return (
            f"  - id: {called or name}\n    current_version: v1\n    versions:\n      - version_id: v1\n"
            f"        gguf_url: file://{path}\n        sha256: '{number:064}'\n"
            f"    context_tokens: 8192\n{more}    profiles: {profiles}\n"
        )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.delenv("MODELCTL_STORE", raising=False)
    seen = HostMemory(Bytes(64 * GIB), Bytes(64 * GIB), None)
    monkeypatch.setattr("reconciler.reconcile.placement.host_memory", lambda: seen)
    # Short, for the supervisor's socket lies below it.
    with TemporaryDirectory(prefix="mctl-") as folder:
        FakeGpus(Path(folder) / "gpus").install(monkeypatch)
        yield Desk(Path(folder))


MAX = '{max: {gpus: ["RTX 5080"]}}'
ON_DEMAND = "    residency: on_demand\n"


def placed(plan: Plan) -> list[str]:
    return [operation.resource for operation in plan.operations if operation.kind == "placement"]


def test_models_on_demand_are_placed_each_beside_what_is_always_loaded(desk: Desk) -> None:
    desk.write(
        MAX,
        desk.model("qwen2.5-7b"),
        desk.model("qwen3-4b", ON_DEMAND),
        # Either fits beside the first on 15 GiB, both do not.
        desk.model("gemma-3-12b", ON_DEMAND),
    )
    plan = desk.plan()
    assert placed(plan) == ["llama@qwen2.5-7b-max", "llama@qwen3-4b-max", "llama@gemma-3-12b-max"]
    assert not plan.refused
    desk.keep_placements(plan)
    assert placed(desk.plan()) == []


def test_one_on_demand_that_no_longer_fits_is_placed_anew(desk: Desk) -> None:
    desk.write(MAX, desk.model("gemma-3-12b", ON_DEMAND))
    desk.keep_placements(desk.plan())
    assert placed(desk.plan()) == []
    desk.write(MAX, desk.model("gpt-oss-20b"), desk.model("gemma-3-12b", ON_DEMAND))
    plan = desk.plan()
    assert placed(plan) == ["llama@gpt-oss-20b-max", "llama@gemma-3-12b-max"]
    causes = {operation.resource: operation.cause for operation in plan.operations}
    assert causes["llama@gemma-3-12b-max"] == "it no longer fits beside what is always loaded"


def test_one_on_demand_that_does_not_fit_is_a_warning(desk: Desk) -> None:
    desk.write(MAX, desk.model("qwen3-235b-a22b", ON_DEMAND))
    [warning] = desk.plan().warnings
    assert warning.startswith("llama@qwen3-235b-a22b-max, on demand: it does not fit")


def test_as_many_are_placed_ahead_as_the_pool_has_ports(desk: Desk) -> None:
    few = SETTINGS.replace("}}\n", "}, pool: {ports: 8601-8602}}\n")
    names = [f"m{number}" for number in range(4)]
    models = [desk.model("qwen3-4b", ON_DEMAND, called=name) for name in names[:3]]
    urgent = desk.model("qwen3-4b", f"{ON_DEMAND}    priority: high\n", called="m3")
    desk.write(MAX, *models, urgent, settings=few)
    assert placed(desk.plan()) == ["llama@m3-max", "llama@m0-max"]


def test_what_fits_nowhere_is_not_downloaded(desk: Desk) -> None:
    desk.write(MAX, desk.model("qwen3-235b-a22b"), desk.model("qwen3-4b"))
    plan = desk.plan()
    [refusal] = plan.refused
    assert refusal.resource == "llama@qwen3-235b-a22b-max"
    assert not any("235b" in operation.resource for operation in plan.operations)
    assert any(operation.resource.startswith("qwen3-4b@v1") for operation in plan.operations)


def test_another_profile_with_room_is_named(desk: Desk) -> None:
    profiles = '{small: {gpus: ["GTX 1080 Ti"]}, large: {gpus: ["RTX 5080", "RTX 3060"]}}'
    served = "{small: {gpu_percentages: [100]}, large: {}}"
    desk.write(profiles, desk.model("gpt-oss-20b", profiles=served))
    [refusal] = desk.plan().refused
    assert refusal.hint is not None
    assert "profile large, which has room for it" in refusal.hint


@pytest.mark.parametrize("profiles", ['{small: {gpus: ["GTX 1080 Ti"]}, away: {gpus: ["RTX 9999"]}}'])
def test_a_profile_whose_gpus_are_not_there_is_not_proposed(desk: Desk, profiles: str) -> None:
    desk.write(profiles, desk.model("qwen3-235b-a22b", profiles="{small: {}, away: {}}"))
    [refusal] = desk.plan().refused
    assert "away" not in (refusal.hint or "")
