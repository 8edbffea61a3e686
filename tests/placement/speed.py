"""Expected time per token of our splits beside that of others', by the same estimator.

`python -m tests.placement.speed` measures every shape, context, cache type and two or three devices, and
writes its table into docs/memory-model.md.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.placement.devices import MARGIN, Device, Host
from reconciler.placement.kv import cache_bytes, cache_problem
from reconciler.placement.memory import Model, Split, read_model_figures
from reconciler.placement.pace import CONTEXT_IN_USE, HOP_SECONDS, experts_read, hops, seconds_per_token
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, by_shares, fit
from tests.placement import shapes
from tests.placement.oracle import CACHE_TYPES, CONTEXTS, DOCUMENT, MIB, Case, handovers, rpc_servers
from tests.support.engines import rpc_llama_fit_params, rpc_llama_server

ROOMS = (15360, 11264, 10240)
"""MiB that may be used of each device."""
SPEEDS = (960e9, 360e9, 484e9)
HOST = Host(Bytes(200 * 1024 * MIB))
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


@dataclass(frozen=True)
class Race:
    """Seconds per token; None where somebody finds no split."""

    shape: str
    context: int
    cache: str
    devices: int
    ours: float
    fit: float | None
    equal: float | None
    overrider: float

    @property
    def others(self) -> tuple[float, ...]:
        return tuple(one for one in (self.fit, self.equal, self.overrider) if one is not None)


def free_memory(servers: Sequence[str]) -> list[int]:
    """MiB that each device says it has."""
    command = [str(rpc_llama_server()), "--rpc", ",".join(servers), "--list-devices"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [int(found) for found in re.findall(r"RPC\d+: .*\((?:\d+) MiB, (\d+) MiB free\)", listed)]


@dataclass(frozen=True)
class Course:
    """Where the cases run."""

    path: Path
    model: Model
    servers: tuple[str, ...]
    free: tuple[int, ...]
    """MiB that each device says it has."""

    @property
    def rooms(self) -> tuple[int, ...]:
        return ROOMS[: len(self.servers)]

    @property
    def speeds(self) -> tuple[float, ...]:
        return SPEEDS[: len(self.servers)]


def fit_seconds(course: Course, settings: Settings, context: int, cache: str) -> float | None:
    """What `--fit` would run, whether or not by our reckoning that fits; None where it gives up."""
    margins = ",".join(str(have - room) for have, room in zip(course.free, course.rooms, strict=True))
    command = [str(rpc_llama_fit_params()), "-m", str(course.path), "-c", str(context), "--no-repack"]
    command += ["-np", "1", "-ctk", cache, "-ctv", cache]
    command += ["--rpc", ",".join(course.servers), "-fitt", margins]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    layers = re.search(r"-ngl (-?\d+)", done.stdout)
    if not layers:
        return None
    slots, free = course.model.slots, course.free
    on_devices = slots if int(layers[1]) < 0 else min(slots, int(layers[1]))
    shares = re.search(r"-ts ([\d,]+)", done.stdout)
    if shares:
        counts = tuple(int(share) for share in shares[1].split(","))
    else:
        bounds = [sum(free[: device + 1]) / sum(free) for device in range(len(free))]
        owners = [
            next(d for d, bound in enumerate(bounds) if bound > i / on_devices) for i in range(on_devices)
        ]
        counts = tuple(owners.count(device) for device in range(len(free)))
    split = Split(slots - on_devices, counts)
    seconds = seconds_per_token(course.model, settings, split, course.speeds, HOST)
    overrides = re.search(r'-ot "(.+)"', done.stdout)
    if overrides:
        case = Case(context, cache, 1, "", split)
        flags = ["--rpc", ",".join(course.servers), "-ot", overrides[1]]
        flags += ["-ngl", str(on_devices), "-ts", ",".join(map(str, counts))]
        crossed = (
            handovers(course.path, case, course.servers, flags) - (split.cpu == 0) - hops(course.model, split)
        )
        seconds += _moved_seconds(course, split, overrides[1]) + HOP_SECONDS * crossed
    return seconds


def _moved_seconds(course: Course, split: Split, overrides: str) -> float:
    """What it changes that tensors lie elsewhere than their layers; the first pattern found counts."""
    patterns = [entry.rpartition("=")[::2] for entry in re.split(r",(?=blk)", overrides)]
    places = {"CPU": HOST.bandwidth}
    for server, speed in zip(course.servers, course.speeds, strict=True):
        places[f"RPC0[{server}]"] = speed
    owners = [HOST.bandwidth] * split.cpu
    for count, speed in zip(split.devices, course.speeds, strict=True):
        owners += [speed] * count
    seconds = 0.0
    for tensor in shapes.header(course.path).tensors:
        place = next((place for pattern, place in patterns if re.search(pattern, tensor.name)), None)
        if place is not None:
            read = tensor.nbytes * (experts_read(course.model) if "_exps" in tensor.name else 1.0)
            seconds += read / places[place] - read / owners[int(tensor.name.split(".")[1])]
    return seconds


def overrider_handovers(course: Course) -> int:
    """How often devices hand over for a token under gguf-tensor-overrider's `-ngl 0`, all weights on one.

    The context is the CPU's then, and so are the norms of every layer.
    """
    [server, *_] = course.servers
    flags = ["-ngl", "0", "-fa", "on", "--rpc", server, "-ot", rf"^(blk\.\d+|output.*)\.=RPC0[{server}]"]
    return handovers(course.path, Case(4096, "f16", 1, "", Split(0, ())), course.servers, flags)


def overrider_seconds(course: Course, settings: Settings, ours: Placement, crossed: int) -> float:
    """gguf-tensor-overrider at its best: tensors of any size, the fastest device first, in whole layers.

    It reserves the context on the devices; with the `-ngl 0` that it prints, the context lies in RAM all the
    same, and is read from there. What it does not reserve, compute buffers as large as those of our split, is
    taken off what it may fill, since nothing would load otherwise. `crossed` is how often llama.cpp hands
    over between devices when all weights are on one; of layers in RAM that falls away.
    """
    model, rooms = course.model, course.rooms
    buffers = sum(device.compute for device in ours.report.devices)
    cache = sum(cache_bytes(model.architecture, settings)[: model.architecture.running_layers])
    share = experts_read(model)
    size = model.weights.output + sum(layer.total for layer in model.weights.layers)
    read = model.weights.output + sum(layer.shared + layer.experts * share for layer in model.weights.layers)
    room = max(0, sum(rooms) * MIB - max(cache, buffers))
    seconds, left = cache * CONTEXT_IN_USE / HOST.bandwidth, float(size)
    for speed, own in sorted(zip(course.speeds, rooms, strict=True), reverse=True):
        taken = min(left, own * MIB * room / max(1, sum(rooms) * MIB))
        seconds += read * taken / size / speed
        left -= taken
    seconds += HOP_SECONDS * crossed * (size - left) / size
    return seconds + read * left / size / HOST.bandwidth


def race(course: Course, case: tuple[int, str], crossed: int) -> Race | None:
    """All of them at one case; None where the model does not fit at all."""
    context, cache = case
    kind = tensor_type(cache)
    model = course.model
    settings = Settings(context, type_k=kind, type_v=kind, op_offload=False, cache_ram=Bytes(0))
    if cache_problem(model.architecture, settings) is not None:
        return None
    cards = [
        Device(str(number), Bytes(room * MIB + MARGIN), speed)
        for number, (room, speed) in enumerate(zip(course.rooms, course.speeds, strict=True))
    ]
    ours = fit(model, settings, cards, HOST)
    if not isinstance(ours, Placement):
        return None
    equal = by_shares(model, settings, cards, HOST, [1] * len(cards))
    return Race(
        course.path.stem,
        context,
        cache,
        len(course.servers),
        ours.seconds_per_token,
        fit_seconds(course, settings, context, cache),
        equal.seconds_per_token if isinstance(equal, Placement) else None,
        overrider_seconds(course, settings, ours, crossed),
    )


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
        courses = [Course(path, model, tuple(servers[:count]), tuple(free[:count])) for count in (2, 3)]
        crossed = overrider_handovers(courses[0])
        for case in product(contexts, caches):
            races += [found for course in courses if (found := race(course, case, crossed)) is not None]
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
