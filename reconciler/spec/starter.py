"""The first spec for a machine: commented, valid, and with a model that fits."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.core.gpu import Gpu
from reconciler.core.machine import MachineFacts
from reconciler.core.sizes import format_bytes
from reconciler.core.types import Bytes
from reconciler.spec.scalars import flow, scalar

_GIB = 1024**3
_VRAM_RESERVE = 1 * _GIB
_SIMPLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
_COLUMN = 46
"""Where the comments behind values begin."""


@dataclass(frozen=True, slots=True)
class _Suggestion:
    id: str
    name: str
    purpose_tags: tuple[str, ...]
    url: str
    context_tokens: int
    needs: Bytes
    """Weights, KV cache of that context and compute buffers, rounded up."""


_LARGEST_FIRST = (
    _Suggestion(
        "gpt-oss-120b",
        "gpt-oss 120B",
        ("reasoning", "deep"),
        "hf://ggml-org/gpt-oss-120b-GGUF/gpt-oss-120b-mxfp4-00001-of-00003.gguf",
        16384,
        Bytes(64 * _GIB),
    ),
    _Suggestion(
        "qwen2.5-coder-32b",
        "Qwen 2.5 Coder 32B",
        ("code_generation", "code_understanding"),
        "hf://Qwen/Qwen2.5-Coder-32B-Instruct-GGUF/qwen2.5-coder-32b-instruct-q4_k_m.gguf",
        8192,
        Bytes(22 * _GIB),
    ),
    _Suggestion(
        "qwen2.5-coder-7b",
        "Qwen 2.5 Coder 7B",
        ("code_generation", "code_understanding"),
        "hf://Qwen/Qwen2.5-Coder-7B-Instruct-GGUF/qwen2.5-coder-7b-instruct-q4_k_m.gguf",
        8192,
        Bytes(6 * _GIB),
    ),
    _Suggestion(
        "qwen2.5-0.5b",
        "Qwen 2.5 0.5B",
        ("fast",),
        "hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf",
        4096,
        Bytes(1 * _GIB),
    ),
)
_LARGEST_ON_CPU = Bytes(6 * _GIB)
"""What a CPU alone still answers with at reading speed."""


def starter(machine: MachineFacts, schema: str = "spec.schema.json") -> str:
    """The text of a spec for `machine`; `schema` is where editors find the JSON Schema, from its folder.

    Its sources are public; revision and sha256 are left for `modelctl pull` to fill in.
    """
    reserve = ram_reserve(machine.memory.total)
    ram = Bytes(machine.memory.total - reserve)
    profiles = _profiles(machine.gpus)
    largest = max((memory for _, memory in profiles.values()), default=Bytes(0))
    budget = max(largest, machine.memory.unified_gpu_limit or Bytes(0), min(ram, _LARGEST_ON_CPU))
    model = next((s for s in _LARGEST_FIRST if s.needs <= budget), _LARGEST_FIRST[-1])
    lines = (
        *_head(machine, schema),
        *_settings(machine, reserve),
        *_profile_section(profiles),
        *_model_section(model, profiles, ram),
        *_rest(model),
    )
    return "".join(f"{line}\n" for line in lines)


def ram_reserve(total: Bytes) -> Bytes:
    """An eighth of the RAM in whole GiB, at least one and at most sixteen."""
    return Bytes(max(1, min(16, total // 8 // _GIB)) * _GIB)


def _head(machine: MachineFacts, schema: str) -> Iterator[str]:
    gpus = (
        ", ".join(f"{' '.join(gpu.name.split())} ({format_bytes(gpu.total)})" for gpu in machine.gpus)
        or "no NVIDIA GPU"
    )
    yield f"# yaml-language-server: $schema={schema}"
    yield "#"
    yield "# What this machine serves. Edit it, commit it, and look before you leap:"
    yield "#   modelctl validate   is this file sound?"
    yield "#   modelctl placement  what would fit where, before anything is downloaded"
    yield "#   modelctl pull       downloads and verifies what it names"
    yield "#   modelctl plan       what would change on this machine, and why"
    yield "#   modelctl apply      makes it so"
    yield "#"
    yield f"# Written by `modelctl init` for {machine.platform}, {machine.cpu_count} CPUs,"
    yield f"# {format_bytes(machine.memory.total)} RAM, {gpus}."
    yield ""


def _settings(machine: MachineFacts, reserve: Bytes) -> Iterator[str]:
    yield "settings:"
    yield _commented(f"  supervisor: {machine.supervisor}", "what runs here; `auto` looks again each time")
    yield _commented("  # store: ~/.local/share/modelctl", "where models and state are kept")
    yield _commented("  # engine: auto", "llama-server on PATH, else the embedded llama.cpp")
    yield "  reserve:"
    yield _commented(f"    ram: {_whole(reserve)}", "left for the rest of the machine")
    if machine.gpus:
        yield _commented(f"    vram: {_whole(Bytes(_VRAM_RESERVE))}", "of each GPU")
    yield ""


def _profiles(gpus: tuple[Gpu, ...]) -> dict[str, tuple[tuple[str, ...], Bytes]]:
    """Sets of GPUs as the spec names them, and what a model may take of their memory; the largest first."""
    by_size = sorted(gpus, key=lambda gpu: gpu.total, reverse=True)
    sets: dict[str, list[Gpu]] = {}
    if len(by_size) > 1:
        sets["max"] = by_size
        sets["fallback"] = by_size[:1]
    elif by_size:
        sets["gpu"] = by_size
    return {
        name: (
            tuple(_name(gpu, gpus) for gpu in members),
            Bytes(sum(gpu.total - _VRAM_RESERVE for gpu in members)),
        )
        for name, members in sets.items()
    }


def _name(gpu: Gpu, gpus: tuple[Gpu, ...]) -> str:
    """The short product name, or the UUID where another GPU's name holds it too, or it is none."""
    short = gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
    alone = sum(short.lower() in other.name.lower() for other in gpus) == 1
    return short if alone and _SIMPLE.fullmatch(short) else gpu.uuid


def _profile_section(profiles: dict[str, tuple[tuple[str, ...], Bytes]]) -> Iterator[str]:
    yield "# Sets of GPUs in order of preference: the first whose GPUs are all free is active."
    yield "profiles:"
    for name, (gpus, memory) in profiles.items():
        yield _commented(f"  {name}: {{gpus: {flow(gpus)}}}", f"{format_bytes(memory)} for models")
    yield "  cpu_only: {gpus: []}"
    yield ""


def _model_section(
    model: _Suggestion, profiles: dict[str, tuple[tuple[str, ...], Bytes]], ram: Bytes
) -> Iterator[str]:
    yield "models:"
    yield f"  - id: {model.id}"
    yield f"    display_name: {scalar(model.name)}"
    yield _commented(f"    purpose_tags: {flow(model.purpose_tags)}", "what callers may ask for")
    yield _commented(f"    context_tokens: {model.context_tokens}", "per request; it costs memory")
    yield _commented("    parallel: 1", "requests at once")
    yield "    current_version: v1"
    yield "    versions:"
    yield "      - version_id: v1"
    yield f"        gguf_url: {model.url}"
    yield "        # `modelctl pull` adds revision and sha256 here; commit them, and a commit says what runs."
    yield _commented("    residency: always", "or on_demand: loaded when it is asked for")
    yield _commented("    profiles:", "where it is served, and how")
    for name, (_, memory) in profiles.items():
        yield _served(name, model.needs <= memory)
    yield _served("cpu_only", model.needs <= ram)
    yield ""


def _served(profile: str, fits: bool) -> str:
    return f"      {profile}: {{}}" if fits else _commented(f"      {profile}: null", "too large for it")


def _rest(model: _Suggestion) -> Iterator[str]:
    yield "# A model under another name, with a task of its own:"
    yield "# personas:"
    yield "#   - id: reviewer"
    yield f"#     base_model: {model.id}"
    yield "#     system_prompt: You review code. Cite line numbers."
    yield "#     sampling: {temperature: 0.2}"
    yield ""
    yield "# Versions that promote, update and gc must leave alone:"
    yield "# pins:"
    yield f"#   {model.id}: v1"


def _commented(text: str, comment: str) -> str:
    return f"{text.ljust(_COLUMN)}  # {comment}"


def _whole(size: Bytes) -> str:
    return f"{size // _GIB}GiB"
