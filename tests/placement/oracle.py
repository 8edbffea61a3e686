"""llama.cpp's own accounting beside ours, over real shapes, contexts, cache types and splits.

`python -m tests.placement.oracle` measures the whole matrix and writes its table into docs/memory-model.md.
"""

import argparse
import os
import random
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from reconciler.core.types import Bytes
from reconciler.gguf.types import tensor_type
from reconciler.placement.devices import MARGIN, Device
from reconciler.placement.memory import Model, Split, estimate, read_model_figures
from reconciler.placement.overflow import Overflow, override_pattern
from reconciler.placement.settings import Settings
from tests.placement import shapes
from tests.support.engines import ggml_rpc_server, rpc_llama_fit_params

DOCUMENT = Path(__file__).parents[2] / "docs" / "memory-model.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CONTEXTS = (4096, 32768, 131072)
CACHE_TYPES = ("f16", "q8_0", "q4_0")
MIB = 1024 * 1024
NOTHING: Mapping[str, str] = {}
EXTREME = 0.3
"""Share of random splits with devices of one or two layers."""


@dataclass(frozen=True)
class Case:
    context: int
    cache: str
    parallel: int
    layout: str
    split: Split


@dataclass(frozen=True)
class Row:
    """One device (or the host, `device` -1) of one case; sizes in MiB as llama.cpp prints them."""

    shape: str
    case: Case
    device: int
    ours: tuple[int, int, int]
    theirs: tuple[int, int, int]

    @property
    def error(self) -> float:
        """Ours over theirs, in percent of theirs."""
        return 100 * (sum(self.ours) - sum(self.theirs)) / max(1, sum(self.theirs))


def layouts(model: Model) -> Iterator[tuple[str, Split]]:
    slots = model.slots
    third = slots // 3
    yield "CPU", Split(slots, ())
    yield "1 device", Split(0, (slots,))
    yield "2 devices", Split(0, (third, slots - third))
    yield "3 devices", Split(0, (third, third, slots - 2 * third))
    yield "CPU + 1", Split(third, (slots - third,))
    yield "CPU + 2", Split(third, (third, slots - 2 * third))
    if model.architecture.experts:
        yield "experts on CPU", Split(0, (slots,), expert_layers_on_cpu=third)
        yield "experts divided", _overflowing(model, Split(0, (third, slots - third), third // 2))
    else:
        yield "feed-forward on CPU", _overflowing(model, Split(third, (third, slots - 2 * third)))


def _overflowing(model: Model, split: Split) -> Split:
    """Of each device's first two layers that are whole some feed-forward weights stay in RAM."""
    begin = split.cpu
    left = []
    for count in split.devices:
        first = max(begin, split.expert_layers_on_cpu)
        for layer, pick in ((first, max), (first + 1, min)):
            ways = model.divisions(layer)
            left.append(Overflow(layer, ways[pick(ways)]))
        begin += count
    return replace(split, overflow=tuple(left))


def cases(model: Model, contexts: Iterable[int], caches: Iterable[str]) -> Iterator[Case]:
    caches = tuple(caches)
    for context in contexts:
        for cache in caches:
            for layout, split in layouts(model):
                yield Case(context, cache, 4 if cache == "q8_0" else 1, layout, split)


def random_case(model: Model, choice: random.Random) -> Case:
    """Any split that llama.cpp takes, extreme ones with single layers among them."""
    slots = model.slots
    cpu = choice.choice((0, 0, choice.randrange(slots)))
    left = slots - cpu
    count = min(choice.randint(1, 3), left)
    cuts = choice.sample(range(1, left), count - 1)
    if choice.random() < EXTREME:
        cuts = [choice.choice((number + 1, left - 1 - number)) for number in range(count - 1)]
    bounds = sorted({0, left, *(cut for cut in cuts if 0 < cut < left)})
    devices = tuple(end - begin for begin, end in pairwise(bounds))
    experts = 0
    if model.architecture.experts and choice.random() < 0.5:
        experts = choice.randint(min(cpu + 1, slots - 1), model.architecture.running_layers)
    return Case(
        choice.choice((2048, 16384, 131072)),
        choice.choice(CACHE_TYPES),
        choice.choice((1, 4)),
        "any",
        Split(cpu, devices, experts),
    )


def overflowing_case(model: Model, choice: random.Random) -> Case:
    """Any split with feed-forward weights of any layers in RAM, in whole or in part."""
    case = random_case(model, choice)
    there = range(max(case.split.cpu, case.split.expert_layers_on_cpu), model.architecture.running_layers)
    layers = choice.sample(there, choice.randint(0, min(len(there), 12)))
    overflow = tuple(
        Overflow(number, choice.choice(list(ways.values())))
        for number in sorted(layers)
        if (ways := model.divisions(number))
    )
    return replace(case, split=replace(case.split, overflow=overflow))


def shared_case(model: Model, choice: random.Random) -> Case:
    """Any split of a whole model over devices that have parts of the last layer of the one before."""
    case = random_case(model, choice)
    while len(case.split.devices) == 1 or case.split.cpu or min(case.split.devices) < 2:
        case = random_case(model, choice)
    split = replace(case.split, expert_layers_on_cpu=0)
    shared, end = [], 0
    for count in split.devices[:-1]:
        end += count
        if ways := model.divisions(end - 1):
            shared.append(Overflow(end - 1, choice.choice(list(ways.values()))))
    return replace(case, split=replace(split, shared=tuple(shared)))


def tight_case(model: Model, choice: random.Random, rooms: tuple[float, float]) -> tuple[Case, list[Device]]:
    """Devices with room for such a share of the model; the case's split is still to be found."""
    case = Case(choice.choice((4096, 32768)), choice.choice(CACHE_TYPES), 1, "tight", Split(model.slots, ()))
    whole = estimate(model, settings_of(case), case.split).host.total
    count = choice.randint(1, 3)
    shares = [choice.uniform(0.2, 1.0) for _ in range(count)]
    room = choice.uniform(*rooms) * whole / sum(shares)
    speeds = choice.sample((960e9, 484e9, 360e9), count)
    cards = [
        Device(str(number), Bytes(int(share * room) + MARGIN), speed)
        for number, (share, speed) in enumerate(zip(shares, speeds, strict=True))
    ]
    return case, cards


def ask(
    path: Path, case: Case, servers: Sequence[str], flags: Sequence[str] = ()
) -> list[tuple[int, int, int]]:
    """Model, context and compute in MiB per device, the host last, as llama.cpp counts them."""
    split = case.split
    told = _told(path, case, (*_flags(split, servers), *flags)).stdout
    lines = [line.split() for line in told.splitlines()]
    found = [line for line in lines if line and line[0].startswith(("RPC", "Host"))]
    assert len(found) == len(split.devices) + 1, told
    return [(int(line[1]), int(line[2]), int(line[3])) for line in found]


def handovers(path: Path, case: Case, servers: Sequence[str], flags: Sequence[str] | None = None) -> int:
    """How often one device hands over to another in the graph of one token, embeddings included.

    `flags` stand for those of the case's split.
    """
    own = _flags(case.split, servers) if flags is None else flags
    told = _told(path, case, (*own, "-v"), {"GGML_SCHED_DEBUG": "2"}).stderr
    # Graphs are reserved for a prompt, for one token, and for a prompt again.
    _, _, token, *_ = re.split(r"## SPLIT #0: ", f"## {told}")
    route = ["CPU", *re.findall(r"## SPLIT #[1-9]\d*: (\S+)", token)]
    return sum(here != there for here, there in pairwise(route))


def _flags(split: Split, servers: Sequence[str]) -> list[str]:
    flags = []
    if split.devices:
        flags += ["-ngl", str(sum(split.devices)), "-ts", ",".join(map(str, split.devices))]
        flags += ["--rpc", ",".join(servers[: len(split.devices)])]
    if split.expert_layers_on_cpu:
        flags += ["-ncmoe", str(split.expert_layers_on_cpu)]
    if split.overflow:
        flags += ["-ot", override_pattern(split.overflow)]
    for one in split.shared:
        flags += ["-ot", override_pattern([one], f"RPC0[{servers[split.owners[one.layer] + 1]}]")]
    return flags


def _told(
    path: Path, case: Case, flags: Sequence[str], environment: Mapping[str, str] = NOTHING
) -> subprocess.CompletedProcess[str]:
    command = [str(rpc_llama_fit_params()), "-m", str(path), "-fitp", "on", "--no-repack", *flags]
    command += ["-c", str(case.context), "-np", str(case.parallel), "-ctk", case.cache, "-ctv", case.cache]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def ours(model: Model, settings: Settings, split: Split) -> list[tuple[int, int, int]]:
    """The same of our estimate."""
    report = estimate(model, settings, split)
    return [
        (part.model // MIB, part.context // MIB, part.compute // MIB)
        for part in (*report.devices, report.host)
    ]


def settings_of(case: Case) -> Settings:
    cache = tensor_type(case.cache)
    return Settings(case.context, parallel=case.parallel, type_k=cache, type_v=cache, op_offload=False)


def compare(name: str, model: Model, path: Path, case: Case, servers: Sequence[str]) -> list[Row]:
    pairs = list(zip(ours(model, settings_of(case), case.split), ask(path, case, servers), strict=True))
    return [
        Row(name, case, index if index < len(pairs) - 1 else -1, own, their)
        for index, (own, their) in enumerate(pairs)
    ]


def measure(
    folder: Path,
    servers: Sequence[str],
    *,
    names: Iterable[str] = shapes.NAMES,
    contexts: Iterable[int] = CONTEXTS,
    caches: Iterable[str] = CACHE_TYPES,
) -> list[Row]:
    contexts, caches = tuple(contexts), tuple(caches)
    rows: list[Row] = []
    for name in names:
        path = shapes.write(shapes.shape(name), folder)
        model = read_model_figures(shapes.header(path))
        for case in cases(model, contexts, caches):
            rows += compare(name, model, path, case, servers)
    return rows


@contextmanager
def rpc_servers(count: int, *, seconds: float = 20.0) -> Iterator[tuple[str, ...]]:
    """So many llama.cpp devices on the loopback, without a GPU."""
    with ExitStack() as stack:
        yield tuple(_start_rpc_server(stack, time.monotonic() + seconds) for _ in range(count))


def _start_rpc_server(stack: ExitStack, deadline: float) -> str:
    """Its address once it listens; tries again when another process took the port first."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [str(ggml_rpc_server()), "-H", "127.0.0.1", "-p", str(port), "-d", "CPU"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        while server.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return f"127.0.0.1:{port}"
            assert time.monotonic() < deadline, "ggml-rpc-server does not listen"
            time.sleep(0.01)
        assert time.monotonic() < deadline, f"ggml-rpc-server ends with {server.returncode}"


def table(rows: Sequence[Row]) -> str:
    """Per model and layout the largest errors of any single device's total, in percent."""
    names = list(dict.fromkeys(row.shape for row in rows))
    columns = list(dict.fromkeys(row.case.layout for row in rows))
    lines = [f"| model | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for name in names:
        cells = [
            _cell([row.error for row in rows if row.shape == name and row.case.layout == column])
            for column in columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(errors: list[float]) -> str:
    return f"{min(0.0, *errors):+.1f} … {max(0.0, *errors):+.1f}" if errors else ""


def written(document: str, content: str) -> str:
    """The document with `content` between its markers."""
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="print each device's error too, write nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, rpc_servers(3) as servers:
        rows = measure(Path(folder), servers)
    if options.show:
        for row in rows:
            print(row.shape, row.case, row.device, row.ours, row.theirs, f"{row.error:+.2f} %")
    print(table(rows))
    if not options.show:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), table(rows)))


if __name__ == "__main__":
    main()
