"""What a machine has, as far as a first spec for it depends on that."""

from dataclasses import dataclass

from reconciler.core.gpu import Gpu, HostMemory
from reconciler.core.units import SupervisorKind


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Looked at once, by `modelctl init`."""

    platform: str
    """For people: `Linux x86_64`, `macOS arm64`."""
    cpu_count: int
    memory: HostMemory
    gpus: tuple[Gpu, ...]
    """NVIDIA GPUs in bus order; on Apple Silicon `memory` says what its GPU may hold."""
    supervisor: SupervisorKind
