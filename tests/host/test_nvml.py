"""Seeing NVIDIA GPUs through the real binding, over a stand-in for the driver's library."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.core.gpu import GpuSurvey, GpuTrouble
from reconciler.host import nvml
from tests.support.nvml.standin import GIB, RTX_3060, RTX_5080, FakeGpu, FakeGpus, FakeProcess
from tests.support.waiting import wait_until

MACHINE_CALLS = ("nvmlInitWithFlags", "nvmlDeviceGetCount")
IDENTITY_CALLS = ("nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID")
REQUIRED_CALLS = ("nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo")
OPTIONAL_CALLS = {
    "nvmlDeviceGetUtilizationRates": "utilisation",
    "nvmlDeviceGetTemperature": "temperature",
    "nvmlDeviceGetPowerUsage": "power",
    "nvmlDeviceGetMemoryBusWidth": "bandwidth",
    "nvmlDeviceGetMaxClockInfo": "bandwidth",
}
PROCESS_CALLS = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetMigMode",
)
TROUBLES = {
    4: GpuTrouble.NO_PERMISSION,
    9: GpuTrouble.NO_DRIVER,
    10: GpuTrouble.TIMEOUT,
    12: GpuTrouble.NO_LIBRARY,
    15: GpuTrouble.GPU_LOST,
    16: GpuTrouble.RESET_REQUIRED,
    17: GpuTrouble.BLOCKED,
    18: GpuTrouble.VERSION_MISMATCH,
    999: GpuTrouble.FAILED,
}
GONE = {15, 16}


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    fake = FakeGpus(tmp_path / "gpus")
    fake.install(monkeypatch)
    return fake


def test_every_figure_of_a_gpu_is_read(gpus: FakeGpus) -> None:
    busy = (
        FakeProcess(100, 3 * GIB, percent=40),
        FakeProcess(200, None),
        FakeProcess(300, GIB, graphics=True),
    )
    gpus.change(0, utilisation=63, temperature=71, milliwatts=212_500, free=9 * GIB, processes=busy)
    seen = nvml.survey()
    card = seen.gpus[0]
    assert (card.uuid, card.index, card.name) == (RTX_5080.uuid, 0, "NVIDIA GeForce RTX 5080")
    assert (card.total, card.free, card.used) == (16 * GIB, 9 * GIB, 7 * GIB)
    assert (card.utilisation, card.temperature, card.power) == (63, 71, 212.5)
    assert card.processes is not None
    assert [(p.pid, p.used, p.utilisation) for p in card.processes] == [
        (100, 3 * GIB, 40),
        (200, None, 0),
        (300, GIB, 0),
    ]
    assert [gpu.name.split()[-1] for gpu in seen.gpus] == ["5080", "3060", "Ti"]
    assert seen.driver == "560.35.03"
    assert seen.conditions == ()


@pytest.mark.parametrize(
    ("name", "bits", "megahertz", "gigabytes"),
    [
        ("GTX 1080 Ti", 352, 5505, 484),
        ("RTX 3060", 192, 7501, 360),
        ("RTX 4090 Laptop GPU", 256, 9001, 576),
        ("A100-SXM4-40GB", 5120, 1215, 1555),
    ],
)
def test_a_card_states_its_bandwidth(
    gpus: FakeGpus, name: str, bits: int, megahertz: int, gigabytes: int
) -> None:
    gpus.show(FakeGpu("GPU-1", name, 11 * GIB, 10 * GIB, memory_bits=bits, memory_mhz=megahertz))
    (card,) = nvml.survey().gpus
    assert round((card.bandwidth or 0) / 1e9) == gigabytes


def test_what_a_card_cannot_tell_is_none_and_no_condition(gpus: FakeGpus) -> None:
    gpus.change(2, utilisation=None, temperature=None, milliwatts=None, memory_bits=None)
    gpus.fail("nvmlDeviceGetMigMode", 3)
    gpus.fail("nvmlDeviceGetProcessUtilization", 13, index=2)
    seen = nvml.survey()
    card = seen.gpus[2]
    assert (card.utilisation, card.temperature, card.power, card.bandwidth) == (None, None, None, None)
    assert seen.conditions == ()


def test_a_process_that_computes_and_draws_is_listed_once(gpus: FakeGpus) -> None:
    both = (FakeProcess(7, GIB), FakeProcess(7, 2 * GIB, graphics=True))
    gpus.change(0, processes=both)
    assert [(p.pid, p.used) for p in nvml.survey().gpus[0].processes or ()] == [(7, 2 * GIB)]


def test_changes_show_at_the_next_survey(gpus: FakeGpus) -> None:
    assert len(nvml.survey().gpus) == 3
    gpus.show(RTX_3060)
    assert [gpu.uuid for gpu in nvml.survey().gpus] == [RTX_3060.uuid]
    gpus.show()
    assert nvml.survey() == GpuSurvey((), (), "560.35.03")


def test_a_partitioned_card_is_seen_as_its_slices(gpus: FakeGpus) -> None:
    card = FakeGpu("GPU-h100", "NVIDIA H100", 80 * GIB, 79 * GIB)
    slices = [
        FakeGpu(f"MIG-{n}", "NVIDIA H100 MIG 3g.40gb", 40 * GIB, 39 * GIB, None, slice_of=0) for n in (1, 2)
    ]
    gpus.show(card, *slices)
    seen = nvml.survey()
    assert [(gpu.uuid, gpu.index, gpu.total) for gpu in seen.gpus] == [
        ("MIG-1", 0, 40 * GIB),
        ("MIG-2", 0, 40 * GIB),
    ]
    assert seen.conditions == ()


@pytest.mark.parametrize("code", TROUBLES)
@pytest.mark.parametrize("call", MACHINE_CALLS)
def test_a_machine_wide_failure_hides_gpus_but_takes_none_for_lost(
    gpus: FakeGpus, call: str, code: int
) -> None:
    gpus.fail(call, code)
    seen = nvml.survey()
    assert seen.gpus == ()
    assert [(c.trouble, c.call, c.index) for c in seen.conditions] == [(TROUBLES[code], call, None)]
    assert seen.may_be_hidden(RTX_5080.uuid)
    assert seen.conditions[0].is_fault == (code != 12)


@pytest.mark.parametrize("code", TROUBLES)
@pytest.mark.parametrize("call", IDENTITY_CALLS + REQUIRED_CALLS)
def test_one_failing_gpu_never_loses_the_others(gpus: FakeGpus, call: str, code: int) -> None:
    gpus.fail(call, code, index=1)
    seen = nvml.survey()
    assert [gpu.index for gpu in seen.gpus] == [0, 2]
    assert [(c.trouble, c.call, c.index) for c in seen.conditions] == [(TROUBLES[code], call, 1)]
    assert seen.conditions[0].uuid == (RTX_3060.uuid if call in REQUIRED_CALLS else None)
    assert seen.may_be_hidden(RTX_3060.uuid) == (code not in GONE)
    assert not seen.may_be_hidden(RTX_5080.uuid)


@pytest.mark.parametrize("code", TROUBLES)
@pytest.mark.parametrize(("call", "figure"), OPTIONAL_CALLS.items())
def test_a_figure_that_fails_is_missing_alone(gpus: FakeGpus, call: str, figure: str, code: int) -> None:
    gpus.fail(call, code, index=1)
    seen = nvml.survey()
    assert [(c.trouble, c.uuid) for c in seen.conditions] == [(TROUBLES[code], RTX_3060.uuid)]
    if code in GONE:
        assert [gpu.index for gpu in seen.gpus] == [0, 2]
        assert not seen.may_be_hidden(RTX_3060.uuid)
    else:
        assert [getattr(gpu, figure) is None for gpu in seen.gpus] == [False, True, False]
        assert seen.silent_about(RTX_3060.uuid) == {call}


@pytest.mark.parametrize("code", TROUBLES)
@pytest.mark.parametrize("call", PROCESS_CALLS)
def test_a_failing_process_list_leaves_the_gpu(gpus: FakeGpus, call: str, code: int) -> None:
    gpus.fail(call, code, index=1)
    seen = nvml.survey()
    assert [c.call for c in seen.conditions] == [call]
    assert [gpu.index for gpu in seen.gpus] == ([0, 2] if code in GONE else [0, 1, 2])


def test_only_what_costs_more_than_a_figure_is_a_fault(gpus: FakeGpus) -> None:
    gpus.fail("nvmlDeviceGetPowerUsage", 999, index=0)
    gpus.fail("nvmlDeviceGetProcessUtilization", 4, index=0)
    gpus.fail("nvmlDeviceGetUtilizationRates", 999, index=1)
    gpus.fail("nvmlDeviceGetTemperature", 15, index=2)
    assert [c.is_fault for c in nvml.survey().conditions] == [False, False, True, True]


@pytest.mark.parametrize("code", [0, 6])
def test_no_samples_of_processes_means_that_they_rest(gpus: FakeGpus, code: int) -> None:
    """Drivers answer NOT_FOUND or an empty list, which the binding raises as its error "success"."""
    gpus.change(0, processes=(FakeProcess(5, GIB),))
    gpus.fail("nvmlDeviceGetProcessUtilization", code)
    seen = nvml.survey()
    assert [p.utilisation for p in seen.gpus[0].processes or ()] == [0]
    assert seen.conditions == ()


@pytest.mark.parametrize("code", TROUBLES)
def test_a_failing_slice_of_a_card_is_hidden_not_lost(gpus: FakeGpus, code: int) -> None:
    card = FakeGpu("GPU-h100", "NVIDIA H100", 80 * GIB, 79 * GIB)
    gpus.show(card, FakeGpu("MIG-1", "NVIDIA H100 MIG 7g.80gb", 40 * GIB, 39 * GIB, slice_of=0))
    gpus.fail("nvmlDeviceGetMigDeviceHandleByIndex", code)
    seen = nvml.survey()
    assert seen.gpus == ()
    assert seen.may_be_hidden("MIG-1") == (code not in GONE)


@pytest.mark.parametrize("code", TROUBLES)
def test_a_failing_shutdown_costs_nothing(gpus: FakeGpus, code: int) -> None:
    gpus.fail("nvmlShutdown", code)
    assert len(nvml.survey().gpus) == 3


def test_every_condition_says_what_and_how_to_mend_it(gpus: FakeGpus) -> None:
    for code in TROUBLES:
        gpus.fail("nvmlDeviceGetName", code, index=2)
        (condition,) = nvml.survey().conditions
        assert condition.message.startswith("GPU 2: ")
        assert condition.hint


def test_a_driver_that_hangs_is_left_behind_and_seen_again_when_it_is_back(gpus: FakeGpus) -> None:
    gpus.hang("nvmlDeviceGetUUID", index=0)
    seen = nvml.survey(timeout=0.1)
    assert seen.gpus == ()
    assert seen.conditions[0].trouble is GpuTrouble.TIMEOUT
    assert seen.may_be_hidden(RTX_5080.uuid)
    begun = time.monotonic()
    assert nvml.survey(timeout=60.0).conditions[0].trouble is GpuTrouble.TIMEOUT
    assert time.monotonic() - begun < 30, "a survey beside a hanging one answers at once"
    gpus.mend()
    wait_until(lambda: len(nvml.survey().gpus) == 3, what="all three cards")


def test_the_binding_finds_the_library_by_its_name(tmp_path: Path) -> None:
    """As on a real machine: by the loader's search, in a process that never saw the stand-in."""
    fake = FakeGpus(tmp_path / "gpus")
    assert _survey_elsewhere(fake.environment()) == "RTX 5080,RTX 3060,GTX 1080 Ti |"


def test_without_a_library_there_is_no_nvidia_and_no_fault(tmp_path: Path) -> None:
    """A file that is no library stands in the way of any real one."""
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"")
    assert _survey_elsewhere({"LD_LIBRARY_PATH": str(tmp_path)}) == "| no-library"


def _survey_elsewhere(environment: dict[str, str]) -> str:
    code = (
        "from reconciler.host.nvml import survey; s = survey();"
        "names = ','.join(' '.join(g.name.split()[2:]) for g in s.gpus);"
        "print(names, '|', *(c.trouble for c in s.conditions))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout.strip()


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU here")
def test_real_gpus_are_seen_whole() -> None:
    seen = nvml.survey()
    assert seen.gpus, [c.message for c in seen.conditions]
    for gpu in seen.gpus:
        assert gpu.uuid.startswith(("GPU-", "MIG-"))
        assert 0 < gpu.free <= gpu.total
    assert seen.driver
