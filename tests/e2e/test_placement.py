"""Placement as it is used: over llama.cpp's own devices, over GPUs, and kept beside the spec."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.tiny_model import tiny_model
from tests.placement.oracle import rpc_servers
from tests.placement.tiny_experts import with_experts
from tests.support.engines import rpc_llama_server
from tests.support.nvml.standin import FakeGpus
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

MIB = 1024**2
BUFFER = re.compile(r"RPC0\[(\S+)\]\s+(model|KV|compute) buffer size =\s+([\d.]+) MiB")
ANSWER = "I lie on several devices."


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[str, ...]]:
    """Addresses of three llama.cpp devices."""
    with rpc_servers(3) as addresses:
        yield addresses


def use_profile(
    workspace: Workspace, profile: str, *, layers: int = 6, answer: str = ANSWER, experts: int = 0
) -> Path:
    """One model of several layers under one profile; gives the file of its placement."""
    model = workspace.add("wide", answer)
    model.files["v1"].write_bytes(tiny_model(answer, layers=layers))
    if experts:
        model.files["v1"].write_bytes(with_experts(model.files["v1"], experts))
    workspace.write()
    spec = workspace.spec / "models.yaml"
    text = spec.read_text().replace("cpu_only: {gpus: []}", f"pool: {profile}")
    spec.write_text(text.replace("cpu_only: {port", "pool: {port"))
    workspace.commit("profile")
    return workspace.root / "overrides-cache" / "wide-pool.json"


def buffers(log: Path) -> dict[tuple[str, str], float]:
    """What the engine says of each device's buffers, in MiB, by device and kind."""
    return {(device, kind): float(size) for device, kind, size in BUFFER.findall(log.read_text())}


@pytest.mark.parametrize("shares", [(50, 50), (40, 30, 30)], ids=["two", "three"])
def test_a_model_is_served_over_several_devices_as_its_placement_says(
    workspace: Workspace, devices: tuple[str, ...], shares: tuple[int, ...]
) -> None:
    workspace.engine = str(rpc_llama_server())
    used = devices[: len(shares)]
    servers = ", ".join(f'{{address: "{address}", vram: 2GiB}}' for address in used)
    file = use_profile(workspace, f"{{gpus: [], rpc: [{servers}]}}")
    workspace.edit("wide", "pool: {", f"pool: {{gpu_percentages: {list(shares)}, ")
    workspace.edit("wide", "flags: {", "flags: {log-verbosity: 4, ")
    workspace.ok("apply", "--yes")
    assert chat(workspace.models[0].port) == ANSWER
    kept = json.loads(file.read_text())
    assert [part["id"] for part in kept["devices"]] == list(used)
    [log] = (workspace.store / "state" / "logs").glob("llama@wide-pool*")
    said = buffers(log)
    for part in kept["devices"]:
        for kind, word in (("model", "model"), ("KV", "context")):
            assert abs(part[word] / MIB - said[part["id"], kind]) < 0.02, (part, said)
        assert abs(part["compute"] / MIB - said[part["id"], "compute"]) < 2, (part, said)
    findings = workspace.json("doctor", codes=(0, 1))["findings"]
    [finding] = [one["detail"] for one in findings if one["name"] == "placement"]
    assert finding.startswith("llama@wide-pool: ")
    assert workspace.json("plan")["has_changes"] is False


@pytest.mark.parametrize("count", [2, 3], ids=["two", "three"])
@pytest.mark.parametrize(("experts", "room"), [(0, "67.5MiB"), (8, "74MiB")], ids=["dense", "experts"])
def test_feed_forward_weights_that_do_not_fit_are_served_from_ram(
    workspace: Workspace, devices: tuple[str, ...], count: int, experts: int, room: str
) -> None:
    """Six layers, of which each device holds one or two, but for some weights."""
    kept, pattern = serve_divided(workspace, devices[:count], room, experts)
    parts = {part for each in kept["feed_forward_in_ram"].values() for part in each}
    assert parts
    assert parts <= ({"gate_exps", "up_exps", "down_exps"} if experts else {"gate", "up", "down"})
    assert pattern.endswith("=CPU")


def test_two_devices_that_share_a_layer_serve_it(workspace: Workspace, devices: tuple[str, ...]) -> None:
    kept, pattern = serve_divided(workspace, devices[:2], "81MiB", 8)
    assert list(kept["feed_forward_on_next_device"]) == ["2"]
    assert not kept["feed_forward_in_ram"]
    assert pattern.endswith(f"=RPC0[{devices[1]}]")


def serve_divided(
    workspace: Workspace, devices: tuple[str, ...], room: str, experts: int
) -> tuple[dict[str, Any], str]:
    """Serve six layers over devices with so much room, as the placement says; gives it, and its patterns."""
    workspace.engine = str(rpc_llama_server())
    answer = " ".join(f"word{number}" for number in range(120))
    servers = ", ".join(f'{{address: "{one}", vram: {room}}}' for one in devices)
    file = use_profile(workspace, f"{{gpus: [], rpc: [{servers}]}}", answer=answer, experts=experts)
    spec = workspace.spec / "models.yaml"
    spec.write_text(spec.read_text().replace("settings:\n", "settings:\n  bandwidths: {ram: 1}\n", 1))
    workspace.edit("wide", "flags: {", "flags: {log-verbosity: 4, ")
    workspace.ok("apply", "--yes")
    said = chat(workspace.models[0].port)
    assert answer.startswith(said)
    assert said.count("word") > 32
    kept = json.loads(file.read_text())
    assert [part["id"] for part in kept["devices"]] == list(devices)
    [log] = (workspace.store / "state" / "logs").glob("llama@wide-pool*")
    reported = buffers(log)
    for part in kept["devices"]:
        for kind, word in (("model", "model"), ("KV", "context")):
            assert abs(part[word] / MIB - reported[part["id"], kind]) < 0.02, (part, reported)
        assert abs(part["compute"] / MIB - reported[part["id"], "compute"]) < 1, (part, reported)
    assert workspace.json("plan")["has_changes"] is False
    [runtime] = workspace.json("show", "wide")["runtimes"]
    pattern = str(runtime["argv"][runtime["argv"].index("--override-tensor") + 1])
    assert pattern.startswith(r"^blk\.")
    return kept, pattern


@pytest.fixture
def gpus(workspace: Workspace) -> FakeGpus:
    fake = FakeGpus(workspace.root / "gpus")
    workspace.environment.update(fake.environment())
    return fake


def flags_of(workspace: Workspace) -> list[str]:
    [runtime] = workspace.json("show", "wide")["runtimes"]
    return list(runtime["argv"])


def test_the_first_plan_knows_the_placement_of_what_is_not_pulled_yet(
    workspace: Workspace, gpus: FakeGpus
) -> None:
    file = use_profile(workspace, '{gpus: ["RTX 5080", "RTX 3060"]}')
    plan = workspace.json("plan")
    verbs = [step["verb"] for step in plan["operations"]]
    assert verbs[:3] == ["pull", "link", "place"]
    assert not file.exists()
    flags = flags_of(workspace)
    assert flags[flags.index("--gpu-layers") + 1] == "7"
    assert flags[flags.index("--split-mode") + 1] == "none"


def test_flags_stay_while_free_memory_comes_and_goes(workspace: Workspace, gpus: FakeGpus) -> None:
    use_profile(workspace, '{gpus: ["RTX 5080", "RTX 3060", "GTX 1080 Ti"]}')
    workspace.run("apply", "--yes")
    assert not [step for step in workspace.json("plan")["operations"] if step["kind"] == "placement"]
    before = flags_of(workspace)
    for free in (14, 9, 4):
        gpus.change(0, free=free * 1024**3)
        gpus.change(1, free=(free - 1) * 1024**3)
        plan = workspace.json("plan")
        assert not [step for step in plan["operations"] if step["kind"] == "placement"]
        assert flags_of(workspace) == before


def test_an_edited_placement_is_noticed_and_made_anew(workspace: Workspace) -> None:
    file = use_profile(workspace, "{gpus: []}")
    workspace.ok("apply", "--yes")
    text = file.read_text()
    file.write_text(text.replace('"none"', '"RPC7"'))
    plan = workspace.json("plan")
    assert [step["verb"] for step in plan["operations"]] == ["place", "commit"]
    assert any("edited" in warning for warning in plan["warnings"])
    workspace.ok("apply", "--yes")
    assert file.read_text() == text
    assert workspace.json("plan")["has_changes"] is False


def test_a_model_that_fits_nowhere_is_refused_with_what_would_help(workspace: Workspace) -> None:
    workspace.add("small")
    use_profile(workspace, "{gpus: []}")
    workspace.edit("wide", "context_tokens: 512", "context_tokens: 900000000")
    plan = workspace.json("plan")
    [refusal] = plan["refused"]
    assert refusal["resource"] == "llama@wide-pool"
    assert "does not fit" in refusal["reason"]
    assert "context of" in refusal["hint"]
    assert any("trained for" in warning for warning in plan["warnings"]) is False
    assert any(step["resource"] == "llama@small-pool" for step in plan["operations"])


def test_a_context_beyond_training_is_told(workspace: Workspace) -> None:
    use_profile(workspace, "{gpus: []}")
    workspace.edit("wide", "context_tokens: 512", "context_tokens: 16384")
    assert any("trained for" in warning for warning in workspace.json("plan")["warnings"])


def test_an_rpc_server_that_is_away_is_named_and_what_runs_is_left_alone(workspace: Workspace) -> None:
    workspace.engine = str(rpc_llama_server())
    with rpc_servers(1) as (address,):
        use_profile(workspace, f'{{gpus: [], rpc: [{{address: "{address}", vram: 2GiB}}]}}')
        workspace.ok("apply", "--yes")
        assert chat(workspace.models[0].port) == ANSWER
        assert workspace.json("plan")["has_changes"] is False
    workspace.edit("wide", "context_tokens: 512", "context_tokens: 1024")
    plan = workspace.json("plan")
    [refusal] = plan["refused"]
    assert refusal["resource"] == "llama@wide-pool"
    assert f"the RPC server {address}, which it is laid out over, does not answer" in refusal["reason"]
    assert "ggml-rpc-server" in refusal["hint"]
    assert plan["profile"] == "pool"
    assert not [step for step in plan["operations"] if step["kind"] == "unit"]


def test_an_rpc_server_gets_one_runtime(workspace: Workspace, devices: tuple[str, ...]) -> None:
    workspace.engine = str(rpc_llama_server())
    workspace.add("small")
    servers = ", ".join(f'{{address: "{address}", vram: 2GiB}}' for address in devices[:2])
    use_profile(workspace, f"{{gpus: [], rpc: [{servers}]}}")
    workspace.ok("apply", "--yes")
    for model in workspace.models:
        assert chat(model.port)
    kept = [json.loads(path.read_text()) for path in (workspace.root / "overrides-cache").iterdir()]
    used = [part["id"] for one in kept for part in one["devices"]]
    assert len(used) == len(set(used)) == 2
