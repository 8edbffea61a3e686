"""Expected time per token of our splits beside that of others', by the same estimator.

`python -m tests.placement.speed` measures every shape, context, cache type and two or three devices, and
writes its table into docs/memory-model.md.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.placement.devices import MARGIN, Device, Host
from reconciler.placement.kv import cache_bytes, cache_problem
from reconciler.placement.memory import Model, Split, estimate, read_model_figures
from reconciler.placement.settings import Settings
from reconciler.placement.split import CONTEXT_IN_USE, Placement, by_shares, fit, seconds_per_token
from tests.placement import shapes
from tests.placement.oracle import CACHE_TYPES, CONTEXTS, DOCUMENT, MIB, rpc_servers
from tests.support.engines import rpc_llama_fit_params, rpc_llama_server

ROOMS = (15360, 11264, 10240)
"""MiB that may be used of each device."""
SPEEDS = (960e9, 360e9, 484e9)
HOST = Host(Bytes(200 * 1024 * MIB))
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


@dataclass(frozen=True)
class Race:
    """Seconds per token; None where somebody finds no split, or one that has no counterpart here."""

    shape: str
    context: int
    cache: str
    devices: int
    ours: float
    fit: float | None
    equal: float | None
    overrider: float
    overflows: bool
    """Layers stay on the CPU."""

    @property
    def others(self) -> tuple[float, ...]:
        return tuple(one for one in (self.fit, self.equal, self.overrider) if one is not None)


def free_memory(servers: Sequence[str]) -> list[int]:
    """MiB that each device says it has."""
    command = [str(rpc_llama_server()), "--rpc", ",".join(servers), "--list-devices"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [int(found) for found in re.findall(r"RPC\d+: .*\((?:\d+) MiB, (\d+) MiB free\)", listed)]


def chosen_by_fit(
    path: Path, slots: int, servers: Sequence[str], free: Sequence[int], settings: tuple[int, str]
) -> Split | None:
    """What `--fit` would run; None where it overrides single tensors, which has no counterpart here."""
    context, cache = settings
    margins = ",".join(str(have - room) for have, room in zip(free, ROOMS, strict=False))
    command = [str(rpc_llama_fit_params()), "-m", str(path), "-c", str(context), "--no-repack"]
    command += ["-np", "1", "-ctk", cache, "-ctv", cache, "--rpc", ",".join(servers), "-fitt", margins]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    layers = re.search(r"-ngl (-?\d+)", done.stdout)
    shares = re.search(r"-ts ([\d,]+)", done.stdout)
    if not layers or "-ot" in done.stdout:
        return None
    on_devices = slots if int(layers[1]) < 0 else min(slots, int(layers[1]))
    if shares:
        return Split(slots - on_devices, tuple(int(share) for share in shares[1].split(",")))
    bounds = [sum(free[: device + 1]) / sum(free) for device in range(len(free))]
    owners = [next(d for d, bound in enumerate(bounds) if bound > i / on_devices) for i in range(on_devices)]
    return Split(slots - on_devices, tuple(owners.count(device) for device in range(len(free))))


def overrider_seconds(model: Model, settings: Settings, rooms: Sequence[int], ours: Placement) -> float:
    """gguf-tensor-overrider at its best: tensors of any size, the fastest device first, no hops.

    It reserves the context on the devices; with the `-ngl 0` that it prints, the context lies in RAM all the
    same, and is read from there. What it does not reserve, compute buffers as large as those of our split, is
    taken off what it may fill, since nothing would load otherwise.
    """
    buffers = sum(device.compute for device in ours.report.devices)
    cache = sum(cache_bytes(model.architecture, settings)[: model.architecture.running_layers])
    share = model.architecture.experts_used / model.architecture.experts if model.architecture.experts else 1
    size = model.weights.output + sum(layer.total for layer in model.weights.layers)
    read = model.weights.output + sum(layer.shared + layer.experts * share for layer in model.weights.layers)
    room = max(0, sum(rooms) * MIB - max(cache, buffers))
    seconds, left = cache * CONTEXT_IN_USE / HOST.bandwidth, float(size)
    for speed, own in sorted(zip(SPEEDS, rooms, strict=False), reverse=True):
        taken = min(left, own * MIB * room / max(1, sum(rooms) * MIB))
        seconds += read * taken / size / speed
        left -= taken
    return seconds + read * left / size / HOST.bandwidth


def race(
    path: Path, model: Model, case: tuple[int, str], servers: Sequence[str], free: Sequence[int]
) -> Race | None:
    """All of them at one case; None where the model does not fit at all."""
    context, cache = case
    kind = tensor_type(cache)
    settings = Settings(context, type_k=kind, type_v=kind, op_offload=False, cache_ram=Bytes(0))
    if cache_problem(model.architecture, settings) is not None:
        return None
    rooms, speeds = ROOMS[: len(servers)], SPEEDS[: len(servers)]
    cards = [
        Device(str(number), Bytes(room * MIB + MARGIN), speed)
        for number, (room, speed) in enumerate(zip(rooms, speeds, strict=True))
    ]
    ours = fit(model, settings, cards, HOST)
    if not isinstance(ours, Placement):
        return None
    theirs = chosen_by_fit(path, model.slots, servers, free[: len(servers)], case)
    equal = by_shares(model, settings, cards, HOST, [1] * len(cards))
    return Race(
        path.stem,
        context,
        cache,
        len(servers),
        ours.seconds_per_token,
        None
        if theirs is None or not _fits(model, settings, theirs, rooms)
        else seconds_per_token(model, settings, theirs, speeds, HOST),
        equal.seconds_per_token if isinstance(equal, Placement) else None,
        overrider_seconds(model, settings, rooms, ours),
        ours.split.cpu > 0,
    )


def _fits(model: Model, settings: Settings, split: Split, rooms: Sequence[int]) -> bool:
    report = estimate(model, settings, split)
    return all(device.total <= room * MIB for device, room in zip(report.devices, rooms, strict=True))


def run(
    folder: Path,
    servers: Sequence[str],
    *,
    names: Iterable[str] = shapes.NAMES,
    contexts: Iterable[int] = CONTEXTS,
    caches: Iterable[str] = CACHE_TYPES,
) -> list[Race]:
    contexts, caches, free = tuple(contexts), tuple(caches), free_memory(servers)
    races = []
    for name in names:
        path = shapes.write(shapes.shape(name), folder)
        model = read_model_figures(shapes.header(path))
        for context in contexts:
            for cache in caches:
                for count in (2, 3):
                    found = race(path, model, (context, cache), servers[:count], free)
                    races += [] if found is None else [found]
    return races


def table(races: Sequence[Race]) -> str:
    """Milliseconds per token with an f16 cache and three devices, by model and context."""
    lines = ["| model | context | modelctl | `--fit` | equal shares | gguf-tensor-overrider |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for one in races:
        if one.cache == "f16" and one.devices == len(ROOMS):
            cells = [_cell(value) for value in (one.ours, one.fit, one.equal, one.overrider)]
            lines.append(f"| {one.shape} | {one.context // 1024}k | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def written(document: str, content: str) -> str:
    """The document with `content` between its markers."""
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, rpc_servers(3) as servers:
        races = run(Path(folder), servers)
    print(table(races))
    slower = [one for one in races if one.ours > min(one.others) * (1 + 1e-9)]
    print(f"{len(races)} cases, slower than another in {len(slower)}")
    for one in slower:
        print(one)
    DOCUMENT.write_text(written(DOCUMENT.read_text(), table(races)))


if __name__ == "__main__":
    main()
