"""The whole path: the driver's library, lockout files, selection and transition, with cards that change."""

import itertools
import json
from pathlib import Path

import pytest

from reconciler.core.errors import ModelctlError
from reconciler.core.types import ProfileName
from reconciler.gpu.eligibility import OwnUse
from reconciler.host.lockout import edit_lockouts, own_path
from reconciler.reconcile.gpu_watch import GpuWatch, gpus_of
from tests.gpu.cards import CPU_ONLY, MAX, MID, PROFILES
from tests.support.nvml.standin import GIB, RTX_3060, RTX_5080, FakeGpus, FakeProcess

CALLS = (
    "nvmlInitWithFlags",
    "nvmlShutdown",
    "nvmlSystemGetDriverVersion",
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetMemoryBusWidth",
    "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetMigMode",
)
GONE = (15, 16)
NOT_GONE = (1, 4, 9, 10, 11, 12, 17, 18, 999)


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    fake = FakeGpus(tmp_path / "gpus")
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    return tmp_path / "etc_gpu_lockout"


@pytest.fixture
def watch(tmp_path: Path, foreign: Path) -> GpuWatch:
    """Looks every ten seconds, of a clock that needs no waiting."""
    ticks = itertools.count(0.0, 10.0)
    return GpuWatch(PROFILES, (own_path(tmp_path), foreign), clock=lambda: next(ticks))


def look(watch: GpuWatch, times: int = 1, own: OwnUse | None = None) -> list[ProfileName | None]:
    return [watch.look(own).selection.active for _ in range(times)]


def play(gpus: FakeGpus) -> None:
    gpus.change(0, utilisation=97, free=5 * GIB, processes=(FakeProcess(4242, 10 * GIB, 97, graphics=True),))


def stop_playing(gpus: FakeGpus) -> None:
    gpus.change(0, utilisation=2, free=15 * GIB, processes=())


def test_a_game_lowers_the_profile_and_its_end_brings_it_back(gpus: FakeGpus, watch: GpuWatch) -> None:
    assert look(watch, 3) == [MAX] * 3
    play(gpus)
    assert look(watch, 3) == [MAX, MAX, MID]
    assert watch.look().selection.profiles[0].why_not == (
        "NVIDIA GeForce RTX 5080: 97 % busy with other work",
    )
    stop_playing(gpus)
    assert look(watch, 6) == [MID] * 5 + [MAX]


def test_our_own_runtime_at_full_load_changes_nothing(gpus: FakeGpus, watch: GpuWatch) -> None:
    gpus.change(0, utilisation=100, free=GIB // 2, processes=(FakeProcess(77, 15 * GIB, 100),))
    assert look(watch, 20, OwnUse(frozenset({77}))) == [MAX] * 20


@pytest.mark.parametrize("code", NOT_GONE)
@pytest.mark.parametrize("call", CALLS)
def test_no_failing_call_moves_a_healthy_runtime(
    gpus: FakeGpus, watch: GpuWatch, call: str, code: int
) -> None:
    look(watch)
    for index in (0, -1):
        gpus.fail(call, code, index=index)
        assert look(watch, 4) == [MAX] * 4
    gpus.mend()
    assert look(watch, 4) == [MAX] * 4


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.startswith("nvmlDevice") and "Count" not in call]
)
def test_a_gpu_that_is_lost_takes_only_its_own_profile_with_it(
    gpus: FakeGpus, watch: GpuWatch, call: str, code: int
) -> None:
    look(watch)
    gpus.fail(call, code, index=0)
    assert look(watch, 3) == [MID] * 3
    reasons = {condition.reason for condition in watch.look().conditions()}
    assert reasons == {"GpuLost" if code == 15 else "ResetRequired"}
    gpus.mend()
    assert look(watch, 6)[-1] == MAX


@pytest.mark.parametrize("code", GONE)
@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetCount"])
def test_a_lost_gpu_that_silences_the_library_moves_nothing(
    gpus: FakeGpus, watch: GpuWatch, call: str, code: int
) -> None:
    look(watch)
    gpus.fail(call, code)
    assert look(watch, 4) == [MAX] * 4


def test_a_gpu_that_stays_silent_about_its_load_is_held_as_it_was(gpus: FakeGpus, watch: GpuWatch) -> None:
    look(watch)
    play(gpus)
    look(watch, 3)
    stop_playing(gpus)
    gpus.fail("nvmlDeviceGetUtilizationRates", 10, index=0)
    assert look(watch, 20) == [MID] * 20
    gpus.mend()
    assert look(watch, 6)[-1] == MAX


def test_a_machine_without_a_driver_runs_on_the_cpu_and_is_healthy(gpus: FakeGpus, watch: GpuWatch) -> None:
    gpus.fail("nvmlInitWithFlags", 12)
    view = watch.look()
    assert view.selection.active == CPU_ONLY
    assert view.conditions() == ()


def test_a_lockout_of_another_program_is_obeyed_while_the_file_is_there(
    gpus: FakeGpus, watch: GpuWatch, foreign: Path
) -> None:
    look(watch)
    foreign.write_text('{"lockout_gpus": ["0"], "reason": "Gaming session", "until": null}')
    assert look(watch) == [MID]
    foreign.write_text('{"lockout_gpus": ["0"], "rea')
    view = watch.look()
    assert view.selection.active == MID
    assert [condition.reason for condition in view.conditions()] == ["LockoutUnreadable"]
    foreign.unlink()
    assert look(watch, 6) == [MID] * 5 + [MAX]


def test_a_lockout_that_is_over_is_ignored(gpus: FakeGpus, watch: GpuWatch, foreign: Path) -> None:
    foreign.write_text(json.dumps({"lockout_gpus": ["0"], "until": "2025-11-17T22:00:00Z"}))
    assert look(watch) == [MAX]


def test_our_own_and_foreign_lockouts_add_up(
    gpus: FakeGpus, watch: GpuWatch, foreign: Path, tmp_path: Path
) -> None:
    ours = {"lockout_gpus": [RTX_5080.uuid], "reason": "a", "until": None}
    edit_lockouts(own_path(tmp_path), lambda _: [ours])
    foreign.write_text(json.dumps({"lockout_gpus": [RTX_3060.uuid], "reason": "b"}))
    assert look(watch) == [CPU_ONLY]


def test_a_lockout_by_number_holds_while_the_card_does_not_show(
    gpus: FakeGpus, watch: GpuWatch, foreign: Path
) -> None:
    look(watch)
    foreign.write_text('{"lockout_gpus": ["0"]}')
    gpus.fail("nvmlDeviceGetMemoryInfo", 10, index=0)
    assert look(watch, 3) == [MID] * 3


def test_a_lockout_of_no_gpu_here_is_told(gpus: FakeGpus, watch: GpuWatch, foreign: Path) -> None:
    foreign.write_text('{"lockout_gpus": ["RTX 4090"]}')
    (condition,) = watch.look().conditions()
    assert (condition.reason, "RTX 4090" in condition.message) == ("LockoutUnknown", True)


def test_gpus_that_do_not_show_are_those_that_were_seen_last(gpus: FakeGpus, watch: GpuWatch) -> None:
    look(watch)
    gpus.fail("nvmlInitWithFlags", 18)
    view = watch.look()
    assert [gpu.uuid for gpu in gpus_of(view, MAX)] == [gpu.uuid for gpu in gpus.gpus]
    assert [gpu.uuid for gpu in gpus_of(view, MID)] == [gpu.uuid for gpu in gpus.gpus[1:]]


def test_a_fresh_process_does_not_take_a_profile_without_its_gpus(gpus: FakeGpus, tmp_path: Path) -> None:
    """After an update of the driver: what runs is well, and must not be rendered anew for the CPU."""
    gpus.fail("nvmlInitWithFlags", 18)
    view = GpuWatch(PROFILES, (), active=MAX).look()
    assert view.selection.active == MAX
    with pytest.raises(ModelctlError, match="profile max is active, but its GPUs cannot be seen: the NVIDIA"):
        gpus_of(view, MAX)
    assert gpus_of(view, CPU_ONLY) == ()


def test_profiles_may_change_between_looks(gpus: FakeGpus, watch: GpuWatch) -> None:
    look(watch)
    watch.profiles = {ProfileName("one"): ("RTX 3060",)}
    assert look(watch) == ["one"]
