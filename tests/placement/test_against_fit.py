"""Expected time per token beside that of what llama.cpp's `--fit` chooses for the same rooms."""

import re
import subprocess
from pathlib import Path

import pytest

from reconciler.core.types import Bytes
from reconciler.placement.devices import MARGIN, Device, Host
from reconciler.placement.memory import Split
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, fit, seconds_per_token
from tests.placement import shapes
from tests.support.engines import rpc_llama_fit_params, rpc_llama_server

MIB = 1024 * 1024
ROOMS = (15360, 11264, 10240)
SPEEDS = (960e9, 360e9, 484e9)
HOST = Host(Bytes(200 * 1024 * MIB))
CONTEXT = 16384


def free_memory(servers: tuple[str, ...]) -> list[int]:
    """MiB that each device says it has."""
    command = [str(rpc_llama_server()), "--rpc", ",".join(servers), "--list-devices"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return [int(found) for found in re.findall(r"RPC\d+: .*\((?:\d+) MiB, (\d+) MiB free\)", listed)]


def chosen_by_fit(path: Path, slots: int, servers: tuple[str, ...]) -> Split | None:
    """What `--fit` would run; None where it overrides single tensors, which has no counterpart here."""
    free = free_memory(servers)
    margins = ",".join(str(have - room) for have, room in zip(free, ROOMS, strict=True))
    command = [str(rpc_llama_fit_params()), "-m", str(path), "-c", str(CONTEXT), "--no-repack"]
    command += ["--rpc", ",".join(servers), "-fitt", margins]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    layers = re.search(r"-ngl (-?\d+)", done.stdout)
    shares = re.search(r"-ts ([\d,]+)", done.stdout)
    assert layers, done.stdout
    if "-ot" in done.stdout:
        return None
    on_devices = slots if int(layers[1]) < 0 else min(slots, int(layers[1]))
    if shares:
        return Split(slots - on_devices, tuple(int(share) for share in shares[1].split(",")))
    bounds = [sum(free[: device + 1]) / sum(free) for device in range(len(free))]
    owners = [next(d for d, bound in enumerate(bounds) if bound > i / on_devices) for i in range(on_devices)]
    return Split(slots - on_devices, tuple(owners.count(device) for device in range(len(free))))


@pytest.mark.parametrize(
    "name", ["qwen2.5-7b", "llama-3.1-70b", "gemma-3-12b", "qwen3-30b-a3b", "gpt-oss-20b"]
)
def test_never_slower_than_what_fit_chooses(name, model, models, devices):
    if min(free_memory(devices)) < max(ROOMS):
        pytest.skip("this machine has less memory than the devices that are played")
    one = model(name)
    theirs = chosen_by_fit(shapes.write(shapes.shape(name), models), one.slots, devices)
    assert theirs is not None
    cards = [
        Device(str(number), Bytes(room * MIB + MARGIN), speed)
        for number, (room, speed) in enumerate(zip(ROOMS, SPEEDS, strict=True))
    ]
    ours = fit(one, Settings(CONTEXT, op_offload=False), cards, HOST)
    assert isinstance(ours, Placement)
    their_seconds = seconds_per_token(one, Settings(CONTEXT), theirs, SPEEDS, HOST)
    print(
        f"{name}: ours {ours.seconds_per_token * 1000:.2f} ms, --fit {their_seconds * 1000:.2f} ms, {theirs}"
    )
    assert ours.seconds_per_token <= their_seconds
