"""An external tool's answer of `-ot` patterns: what it says, and what is wrong with it. Pure.

llama.cpp searches each pattern in every tensor's name, so one that is not anchored may mean more than it
names; and where the context lies follows from the layer split alone, whatever the patterns say.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.errors import FormatError
from reconciler.core.sizes import format_bytes

_OVERRIDE = ("-ot", "--override-tensor")
_LAYERS = ("-ngl", "--gpu-layers", "--n-gpu-layers")
_CUDA = re.compile(r"^CUDA(\d+)$")


@dataclass(frozen=True, slots=True)
class Overrides:
    """The answer as flags of ours, and its faults in sentences."""

    flags: tuple[str, ...]
    faults: tuple[str, ...] = ()


def read_overrides(answer: str, *, gpus: int, context_bytes: int) -> Overrides:
    """Read what the tool printed; FormatError where that holds no pattern.

    `context_bytes` is what keys and values of the model take, `gpus` how many the engine sees.
    """
    words = _words(answer)
    pairs = [
        (word, words[index + 1])
        for index, word in enumerate(words[:-1])
        if word in (*_OVERRIDE, *_LAYERS) and not words[index + 1].startswith("--")
    ]
    patterns = [tuple(value.rpartition("=")[::2]) for word, value in pairs if word in _OVERRIDE]
    if not patterns:
        raise FormatError(
            "gguf-tensor-overrider printed no -ot pattern", hint="run it by hand, or take `strategy: auto`"
        )
    layers = next((value for word, value in pairs if word in _LAYERS), "0")
    flags = ["--gpu-layers", layers]
    flags += ["--override-tensor", ",".join(f"{pattern}={device}" for pattern, device in patterns)]
    return Overrides(tuple(flags), tuple(_faults(patterns, layers, gpus, context_bytes)))


def _words(answer: str) -> list[str]:
    try:
        return shlex.split(answer)
    except ValueError as error:
        raise FormatError(
            f"gguf-tensor-overrider's answer cannot be read: {error}", hint="take `strategy: auto`"
        ) from error


def _faults(patterns: Sequence[tuple[str, ...]], layers: str, gpus: int, context_bytes: int) -> list[str]:
    found = []
    if layers == "0" and any(_CUDA.match(device) for _, device in patterns):
        found.append(
            "its answer leaves all layers to the CPU (-ngl 0), so the context of"
            f" {format_bytes(context_bytes)} lies in RAM although room for it was left on the GPUs"
        )
    names = [pattern.replace("\\", "").strip("^$") for pattern, _ in patterns]
    loose = [
        name
        for (pattern, _), name in zip(patterns, names, strict=True)
        if not pattern.startswith("^") and any(name != other and name in other for other in names)
    ]
    if loose:
        found.append(f"{len(loose)} of its patterns mean other tensors too, such as `{loose[0]}`")
    absent = sorted(
        {device for _, device in patterns if (cuda := _CUDA.match(device)) and int(cuda[1]) >= gpus}
    )
    if absent:
        found.append(f"it names {', '.join(absent)}, but the profile has {gpus} GPUs")
    return found
