"""NVIDIA GPUs through NVML, the library beneath `nvidia-smi`."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

from reconciler.core.gpu import Gpu, GpuCondition, GpuProcess, GpuSurvey, GpuTrouble
from reconciler.core.types import Bytes
from reconciler.host.nvml_errors import NOTHING, UNSUPPORTED, meaning_of

SURVEY_SECONDS = 10.0
_MICROSECONDS = 1_000_000
_UTILISATION_WINDOW_SECONDS = 2
_INIT = "nvmlInitWithFlags"
_FIGURES = frozenset(
    {
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetMemoryBusWidth",
        "nvmlDeviceGetMaxClockInfo",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetGraphicsRunningProcesses",
        "nvmlDeviceGetProcessUtilization",
    }
)
"""Calls whose answers nothing rests on, or that others make up for."""

_unfinished: list[threading.Thread] = []
_unfinished_lock = threading.Lock()


def survey(timeout: float = SURVEY_SECONDS) -> GpuSurvey:
    """Look at every NVIDIA GPU once; what fails becomes a condition, and `timeout` seconds bound the wait.

    The library is opened and closed again: whoever holds it open keeps the cards' device files open, and then
    a card can be neither handed to a virtual machine nor its driver replaced.

    A driver in trouble can block a caller for ever. That call is left behind in its thread, and until it
    comes back further surveys say so at once instead of piling up beside it.
    """
    with _unfinished_lock:
        _unfinished[:] = [thread for thread in _unfinished if thread.is_alive()]
        if _unfinished:
            return _unanswered(timeout)
        answers: list[GpuSurvey] = []
        thread = threading.Thread(target=lambda: answers.append(_survey()), name="nvml-survey", daemon=True)
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            _unfinished.append(thread)
    return answers[0] if answers else _unanswered(timeout)


def _unanswered(timeout: float) -> GpuSurvey:
    condition = GpuCondition(
        GpuTrouble.TIMEOUT,
        _INIT,
        f"the NVIDIA driver has not answered for more than {timeout:g} s",
        "look for NVRM messages in the kernel log (dmesg); a hung driver needs a reboot",
        hides=True,
    )
    return GpuSurvey((), (condition,))


def _survey() -> GpuSurvey:
    import pynvml  # noqa: PLC0415 - 40 ms that a machine without GPUs need not pay at start-up

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuSurvey((), (_condition(_INIT, error.value, hides=True),))
    try:
        return _Survey(pynvml).run()
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


class _FailedError(Exception):
    """A call failed; its condition is already on the list."""


class _Survey:
    """One pass over the GPUs, collecting what failed beside what answered."""

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml
        self._conditions: list[GpuCondition] = []

    def run(self) -> GpuSurvey:
        gpus: list[Gpu] = []
        driver = self._machine("nvmlSystemGetDriverVersion", hides=False)
        for index in range(self._machine("nvmlDeviceGetCount", hides=True) or 0):
            with suppress(_FailedError):
                card = self._required(index, None, "nvmlDeviceGetHandleByIndex", index)
                gpus.extend(self._devices(index, card))
        return GpuSurvey(tuple(gpus), tuple(self._conditions), driver)

    def _devices(self, index: int, card: Any) -> Iterator[Gpu]:
        """The card, or its slices where it is partitioned: then nothing runs on the card as a whole."""
        uuid = self._required(index, None, "nvmlDeviceGetUUID", card)
        mode = self._optional(index, uuid, "nvmlDeviceGetMigMode", card)
        if mode is None or mode[0] != self._nvml.NVML_DEVICE_MIG_ENABLE:
            yield self._device(index, uuid, card)
            return
        for place in range(self._required(index, None, "nvmlDeviceGetMaxMigDeviceCount", card)):
            slice_ = self._optional(index, None, "nvmlDeviceGetMigDeviceHandleByIndex", card, place)
            if slice_ is None:
                continue
            with suppress(_FailedError):
                slice_uuid = self._required(index, None, "nvmlDeviceGetUUID", slice_)
                yield self._device(index, slice_uuid, slice_)

    def _device(self, index: int, uuid: str, handle: Any) -> Gpu:
        name = self._required(index, uuid, "nvmlDeviceGetName", handle)
        memory = self._required(index, uuid, "nvmlDeviceGetMemoryInfo", handle)
        load = self._optional(index, uuid, "nvmlDeviceGetUtilizationRates", handle)
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        milliwatts = self._optional(index, uuid, "nvmlDeviceGetPowerUsage", handle)
        return Gpu(
            uuid=uuid,
            index=index,
            name=name,
            total=Bytes(memory.total),
            free=Bytes(memory.free),
            utilisation=None if load is None else load.gpu,
            temperature=self._optional(index, uuid, "nvmlDeviceGetTemperature", handle, sensor),
            power=None if milliwatts is None else milliwatts / 1000,
            processes=self._processes(index, uuid, handle),
            bandwidth=self._bandwidth(index, uuid, handle),
        )

    def _bandwidth(self, index: int, uuid: str, handle: Any) -> float | None:
        """Two transfers per clock over the whole width, as NVIDIA's own samples reckon it.

        NVML states clocks of every kind of memory so that this holds, GDDR7 and HBM among them.
        """
        bits = self._optional(index, uuid, "nvmlDeviceGetMemoryBusWidth", handle)
        clock = self._nvml.NVML_CLOCK_MEM
        megahertz = self._optional(index, uuid, "nvmlDeviceGetMaxClockInfo", handle, clock)
        return 2.0 * megahertz * 1e6 * bits / 8 if bits and megahertz else None

    def _processes(self, index: int, uuid: str, handle: Any) -> tuple[GpuProcess, ...] | None:
        """Compute and graphics clients; one that is both is listed once, by the larger figure."""
        lists = [
            self._optional(index, uuid, call, handle)
            for call in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
        ]
        if all(found is None for found in lists):
            return None
        used: dict[int, int | None] = {}
        for process in (process for found in lists for process in found or ()):
            known = used.get(process.pid)
            used[process.pid] = (
                process.usedGpuMemory if known is None else max(known, process.usedGpuMemory or 0)
            )
        load = self._utilisation_by_pid(index, uuid, handle)
        return tuple(
            GpuProcess(pid, None if size is None else Bytes(size), None if load is None else load.get(pid, 0))
            for pid, size in sorted(used.items())
        )

    def _utilisation_by_pid(self, index: int, uuid: str, handle: Any) -> dict[int, int] | None:
        """The highest recent sample of each process; {} when nothing ran, None when it is not counted."""
        since = int((time.time() - _UTILISATION_WINDOW_SECONDS) * _MICROSECONDS)
        call = "nvmlDeviceGetProcessUtilization"
        samples = self._optional(index, uuid, call, handle, since, nothing=())
        if samples is None:
            return None
        highest: dict[int, int] = {}
        for sample in samples:
            highest[sample.pid] = max(highest.get(sample.pid, 0), sample.smUtil)
        return highest

    def _machine(self, call: str, *, hides: bool) -> Any | None:
        try:
            return getattr(self._nvml, call)()
        except self._nvml.NVMLError as error:
            self._conditions.append(_condition(call, error.value, hides=hides))
            return None

    def _required(self, index: int, uuid: str | None, call: str, *arguments: Any) -> Any:
        """The answer without which a GPU cannot be listed; raises `_FailedError`."""
        try:
            return getattr(self._nvml, call)(*arguments)
        except self._nvml.NVMLError as error:
            condition = _condition(call, error.value, index, uuid, hides=True)
        except UnicodeDecodeError:
            condition = _condition(call, None, index, uuid, hides=True)
        self._conditions.append(condition)
        raise _FailedError

    def _optional(
        self, index: int, uuid: str | None, call: str, *arguments: Any, nothing: tuple[()] | None = None
    ) -> Any | None:
        """The answer, or None where the device does not have one.

        Without a UUID the question was for a device, and a failure hides it. Raises `_FailedError` when the
        GPU is gone.
        """
        try:
            return getattr(self._nvml, call)(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in UNSUPPORTED:
                return None
            if error.value in NOTHING:
                return nothing
            condition = _condition(
                call, error.value, index, uuid, hides=uuid is None, costs_little=call in _FIGURES
            )
        self._conditions.append(condition)
        if condition.trouble.gone:
            raise _FailedError
        return None


def _condition(
    call: str,
    code: int | None,
    index: int | None = None,
    uuid: str | None = None,
    *,
    hides: bool,
    costs_little: bool = False,
) -> GpuCondition:
    meaning = meaning_of(code)
    subject = "" if index is None else f"GPU {index}: "
    gone = index is not None and meaning.trouble.gone
    return GpuCondition(
        trouble=meaning.trouble,
        call=call,
        message=f"{subject}{meaning.words} ({call})",
        hint=meaning.hint,
        index=index,
        uuid=uuid,
        # One card is known to be out of order; without an index, a lost card has silenced the whole library.
        hides=hides and not gone,
        is_fault=gone or not (costs_little or meaning.trouble is GpuTrouble.NO_LIBRARY),
    )
