"""A unit definition to vary, and its rendering."""

from dataclasses import replace
from typing import Any

from reconciler.core.types import Bytes, UnitName
from reconciler.core.units import GpuAccess, SupervisorKind, UnitDefinition
from reconciler.host.templates import unit_template
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.render import render


def a_definition(**changes: Any) -> UnitDefinition:
    definition = UnitDefinition(
        name=UnitName("llama@qwen2.5-coder-7b-max"),
        description="Qwen 2.5 Coder 7B on max, 100% local",
        argv=(
            "/usr/bin/llama-server",
            "--model",
            "/var/lib/modelctl/m.gguf",
            "--alias",
            "a b",
            "--port",
            "8601",
        ),
        environment=(("CUDA_VISIBLE_DEVICES", "GPU-1,GPU-2"),),
        working_directory="/var/lib/modelctl",
        log_path="/var/log/modelctl/qwen.log",
        memory_limit=Bytes(20 * 1024**3),
        read_paths=("/var/lib/modelctl/blobs",),
        write_paths=("/var/lib/modelctl/run",),
        gpu=GpuAccess.NVIDIA,
        loopback=True,
        user="modelctl",
    )
    return replace(definition, **changes)


def rendered(kind: SupervisorKind, **changes: Any) -> str:
    """The unit's file with some fields of the definition changed."""
    definition = a_definition(**changes)
    return render(definition, Ownership("box-1", 7, definition.config_hash), kind, unit_template(kind)).text
