"""GPUs as values, for tests of the pure rooms."""

from dataclasses import replace

from reconciler.core.gpu import Gpu, GpuCondition, GpuProcess, GpuSurvey, GpuTrouble
from reconciler.core.types import Bytes, ProfileName

GIB = 1024**3


def card(
    index: int,
    name: str,
    *,
    uuid: str | None = None,
    total: int = 12,
    free: float = 11,
    load: int | None = 0,
    processes: tuple[GpuProcess, ...] | None = (),
) -> Gpu:
    """A GPU with sizes in GiB."""
    return Gpu(
        uuid=uuid or f"GPU-{index}",
        index=index,
        name=name,
        total=Bytes(total * GIB),
        free=Bytes(int(free * GIB)),
        utilisation=load,
        temperature=40,
        power=20.0,
        processes=processes,
    )


RTX_5080 = card(0, "NVIDIA GeForce RTX 5080", total=16, free=15)
RTX_3060 = card(1, "NVIDIA GeForce RTX 3060")
GTX_1080_TI = card(2, "NVIDIA GeForce GTX 1080 Ti", total=11, free=10)
THREE = (RTX_5080, RTX_3060, GTX_1080_TI)

MAX, MID, FALLBACK, CPU_ONLY = map(ProfileName, ("max", "mid", "fallback", "cpu_only"))
PROFILES = {
    MAX: ("RTX 5080", "RTX 3060", "GTX 1080 Ti"),
    MID: ("RTX 3060", "GTX 1080 Ti"),
    FALLBACK: ("RTX 3060",),
    CPU_ONLY: (),
}


def busy(gpu: Gpu, load: int = 95) -> Gpu:
    """Somebody plays on it."""
    return replace(gpu, utilisation=load, free=Bytes(gpu.free - 6 * GIB))


def process(pid: int, gib: float | None, load: int | None = None) -> GpuProcess:
    return GpuProcess(pid, None if gib is None else Bytes(int(gib * GIB)), load)


def failed(trouble: GpuTrouble, gpu: Gpu | None = None, call: str = "nvmlInitWithFlags") -> GpuCondition:
    """A condition for the whole machine, or for one GPU that is missing because of it."""
    hides = gpu is None or not trouble.gone
    if gpu is None:
        return GpuCondition(trouble, call, trouble.value, "mend it", hides=hides)
    return GpuCondition(trouble, call, trouble.value, "mend it", gpu.index, gpu.uuid, hides)


def blind(trouble: GpuTrouble = GpuTrouble.VERSION_MISMATCH) -> GpuSurvey:
    return GpuSurvey((), (failed(trouble),))
