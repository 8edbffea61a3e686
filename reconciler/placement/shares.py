"""The simplest placement: everything on the CPU, or every layer on the profile's GPUs by the given shares."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.gpu import Gpu

_ALL_LAYERS = "999"
"""More than any model has: all of them, in every build; the word `all` is younger."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What tells an engine where to put a model."""

    flags: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


def place(gpus: Sequence[Gpu], shares: Sequence[int] | None) -> Layout:
    """Without GPUs nothing is offloaded, not even single operations of a prompt.

    With GPUs the engine sees only these, by UUID and in this order; `shares` are percentages per GPU. Without
    shares llama.cpp splits by free memory.
    """
    visible = ",".join(gpu.uuid for gpu in gpus)
    environment = (("CUDA_VISIBLE_DEVICES", visible),)
    if not gpus:
        return Layout(("--device", "none"), environment)
    flags: tuple[str, ...] = ("--gpu-layers", _ALL_LAYERS)
    if shares is not None and len(gpus) > 1:
        flags = (*flags, "--split-mode", "layer", "--tensor-split", ",".join(map(str, shares)))
    return Layout(flags, environment)
