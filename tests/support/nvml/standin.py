"""NVIDIA GPUs that need not exist: builds the stand-in `libnvidia-ml.so.1` and tells it what to say.

`FakeGpus` is the file that the stand-in reads at each call; change it and the next survey sees the change.
Use `install` to have it in this process, `environment` to give it to another one.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from filelock import FileLock

SOURCE = Path(__file__).with_name("nvml.c")
GIB = 1024**3
_COMPILE = ("-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC")


@dataclass(frozen=True)
class FakeProcess:
    """`used` None: the driver does not tell."""

    pid: int
    used: int | None
    percent: int = 0
    graphics: bool = False


@dataclass(frozen=True)
class FakeGpu:
    """None stands for what this card cannot tell."""

    uuid: str
    name: str
    total: int
    free: int
    utilisation: int | None = 0
    temperature: int | None = 40
    milliwatts: int | None = 20_000
    processes: tuple[FakeProcess, ...] = ()
    slice_of: int | None = None
    memory_bits: int | None = None
    """Width of the memory bus."""
    memory_mhz: int | None = None
    """Its highest clock."""


RTX_5080 = FakeGpu(
    "GPU-50800000-0000-4000-8000-000000000000",
    "NVIDIA GeForce RTX 5080",
    16 * GIB,
    15 * GIB,
    memory_bits=256,
    memory_mhz=15_001,
)
RTX_3060 = FakeGpu(
    "GPU-30600000-0000-4000-8000-000000000000",
    "NVIDIA GeForce RTX 3060",
    12 * GIB,
    11 * GIB,
    memory_bits=192,
    memory_mhz=7_501,
)
GTX_1080_TI = FakeGpu(
    "GPU-10800000-0000-4000-8000-000000000000",
    "NVIDIA GeForce GTX 1080 Ti",
    11 * GIB,
    10 * GIB,
    memory_bits=352,
    memory_mhz=5_505,
)


@dataclass
class FakeGpus:
    """The GPUs of a machine, kept in a file. `fail` and `hang` take the names that pynvml gives the calls."""

    path: Path
    gpus: list[FakeGpu] = field(default_factory=lambda: [RTX_5080, RTX_3060, GTX_1080_TI])
    _faults: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.write()

    def change(self, index: int, **values: object) -> None:
        self.gpus[index] = replace(self.gpus[index], **values)  # type: ignore[arg-type] - any field
        self.write()

    def show(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.write()

    def fail(self, call: str, code: int, *, index: int = -1) -> None:
        self._faults["fail", call, index] = code
        self.write()

    def hang(self, call: str, *, index: int = -1) -> None:
        """Until `mend` the call does not return."""
        self._faults["hang", call, index] = 1
        self.write()

    def mend(self) -> None:
        self._faults.clear()
        self.write()

    def write(self) -> None:
        """Replace the file whole, so that a survey in another process never sees half of it."""
        lines = [f"{kind} {call} {index} {value}" for (kind, call, index), value in self._faults.items()]
        for index, gpu in enumerate(self.gpus):
            for key in (
                "uuid",
                "name",
                "total",
                "free",
                "utilisation",
                "temperature",
                "milliwatts",
                "slice_of",
                "memory_bits",
                "memory_mhz",
            ):
                value = getattr(gpu, key)
                if value is not None:
                    lines.append(f"device {index} {key} {value}")
            for process in gpu.processes:
                kind = "graphics" if process.graphics else "process"
                used = -1 if process.used is None else process.used
                lines.append(f"{kind} {index} {process.pid} {used} {process.percent}")
        partial = self.path.with_suffix(".partial")
        partial.write_text("\n".join(lines) + "\n")
        partial.replace(self.path)

    def environment(self) -> dict[str, str]:
        """Variables under which another process finds the stand-in as its NVIDIA driver library."""
        folders = [str(library().parent), os.environ.get("LD_LIBRARY_PATH", "")]
        return {"MODELCTL_TEST_NVML": str(self.path), "LD_LIBRARY_PATH": ":".join(filter(None, folders))}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the stand-in the NVIDIA driver library of this process, for one test."""
        import pynvml  # noqa: PLC0415 - only where a test asks for it

        monkeypatch.setenv("MODELCTL_TEST_NVML", str(self.path))
        monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library())))
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})


@functools.cache
def library() -> Path:
    """The compiled stand-in, built once per version of its source; skips where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the NVML stand-in (apt install gcc)")
    base = os.environ.get("XDG_CACHE_HOME")
    version = hashlib.sha256(SOURCE.read_bytes() + " ".join(_COMPILE).encode()).hexdigest()[:16]
    folder = (Path(base) if base else Path.home() / ".cache") / "modelctl-tests" / f"nvml-{version}"
    built = folder / "libnvidia-ml.so.1"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", timeout=120):
        if not built.exists():
            partial = folder / "partial.so"
            # Without a soname: the loader would hand the stand-in to whoever asks for the real one later.
            subprocess.run([compiler, *_COMPILE, "-o", str(partial), str(SOURCE)], check=True)
            partial.replace(built)
    return built
