"""`modelctl placement` as a person uses it, on machines that need not exist."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.placement import command
from reconciler.core.errors import UsageError
from reconciler.core.gpu import HostMemory
from reconciler.core.types import Bytes
from tests.placement import shapes
from tests.support.engines import rpc_llama_server
from tests.support.nvml.standin import FakeGpus
from tests.support.workspace import Workspace

GIB = 1024**3
SETTINGS = "settings: {{store: store, engine: embedded, reserve: {{ram: {ram}, vram: 1GiB}}}}\n"


@dataclass
class Desk:
    """A spec over header-complete models of real shapes."""

    folder: Path
    read: Callable[[], str]

    def spec(self, text: str, *names: str, ram: str = "4GiB", gpus: str = '["RTX 5080", "RTX 3060"]') -> None:
        """`text` is pasted into each model's entry."""
        models = self.folder / "models"
        models.mkdir(exist_ok=True)
        entries = []
        for number, name in enumerate(names):
            path = shapes.write(shapes.shape(name), models)
            entries.append(
                f"  - id: {name}\n    current_version: v1\n    versions:\n      - version_id: v1\n"
                f"        gguf_url: file://{path}\n        sha256: '{number:064}'\n{text}"
                "    profiles: {max: {}}\n"
            )
        (self.folder / "spec").mkdir(exist_ok=True)
        (self.folder / "spec/models.yaml").write_text(
            SETTINGS.format(ram=ram) + f"profiles: {{max: {{gpus: {gpus}}}}}\nmodels:\n" + "".join(entries)
        )

    def text(self, *arguments: str) -> str:
        command.main(list(arguments), prog_name="modelctl placement", standalone_mode=False)
        return self.read()

    def json(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.text(*arguments, "--format", "json"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.setenv("MODELCTL_SPEC", str(tmp_path / "spec"))
    monkeypatch.delenv("MODELCTL_STORE", raising=False)
    FakeGpus(tmp_path / "gpus").install(monkeypatch)
    memory(monkeypatch, 64 * GIB)
    return Desk(tmp_path, lambda: capsys.readouterr().out)


def memory(monkeypatch: pytest.MonkeyPatch, total: int, unified: int | None = None) -> None:
    seen = HostMemory(Bytes(total), Bytes(total), None if unified is None else Bytes(unified))
    monkeypatch.setattr("reconciler.reconcile.placement.host_memory", lambda: seen)


def test_the_ledger_shows_every_runtime_on_every_device(desk: Desk) -> None:
    desk.spec("", "qwen2.5-7b", "gemma-3-12b")
    shown = desk.text()
    assert "llama@qwen2.5-7b-max" in shown
    assert "RTX 3060" in shown
    assert "free" in shown
    document = desk.json()
    for device in document["devices"]:
        assert (
            device["placed_bytes"] + device["reserved_bytes"] + device["free_bytes"] == device["total_bytes"]
        )
        assert device["free_bytes"] >= 0
    assert all(runtime["placed"] for runtime in document["runtimes"])


def test_one_model_is_explained_device_by_device(desk: Desk) -> None:
    desk.spec("    context_tokens: 32768\n", "gpt-oss-20b")
    shown = desk.text("gpt-oss-20b")
    assert "WEIGHTS" in shown
    assert "--gpu-layers 25" in shown
    assert "RTX 5080" in shown


def test_what_is_not_pulled_yet_is_foreseen_from_its_source(desk: Desk) -> None:
    desk.spec("    context_tokens: 32768\n", "gpt-oss-20b")
    [pulled] = desk.json()["runtimes"]
    text = (desk.folder / "spec/models.yaml").read_text()
    (desk.folder / "spec/models.yaml").write_text(re.sub(r"\n *sha256: .*", "", text))
    [foreseen] = desk.json("gpt-oss-20b")["runtimes"]
    assert foreseen == {**pulled, "resolved": False}
    assert "not pulled" in desk.text()


def test_one_models_placement_says_nothing_of_others(desk: Desk) -> None:
    desk.spec("    context_tokens: 300000\n", "qwen2.5-7b", "qwen3-4b")
    assert len(desk.json()["warnings"]) == 2
    [warning] = desk.json("qwen3-4b")["warnings"]
    assert "llama@qwen3-4b-max: context_tokens 300000 is more than" in warning


@pytest.mark.parametrize("name", ["llama-3.1-70b", "qwen3-next-80b"])
def test_weights_that_stay_in_ram_are_shown(desk: Desk, name: str) -> None:
    desk.spec("    context_tokens: 4096\n", name)
    [runtime] = desk.json()["runtimes"]
    assert runtime["feed_forward_in_ram"]
    shown = desk.text(name)
    assert "of layers on devices stay in RAM: " in shown
    for layer, parts in runtime["feed_forward_in_ram"].items():
        assert f"ffn_{parts[-1]} of " in shown
        assert layer in shown


def test_a_layer_that_two_devices_share_is_shown(desk: Desk) -> None:
    desk.spec("    context_tokens: 131072\n    kv_cache_type: q8_0\n", "qwen3-30b-a3b")
    [runtime] = desk.json()["runtimes"]
    [(layer, parts)] = runtime["feed_forward_on_next_device"].items()
    assert f"the next device has: ffn_{parts[0]}" in desk.text("qwen3-30b-a3b")
    assert any(flag.startswith(rf"^blk\.{layer}\.ffn_") for flag in runtime["flags"])


def test_what_does_not_fit_is_named_with_what_would_help(desk: Desk) -> None:
    desk.spec("    context_tokens: 131072\n", "qwen3-4b", "llama-3.1-70b", ram="60GiB")
    document = desk.json()
    fits, fails = document["runtimes"]
    assert fits["placed"]
    assert not fails["placed"]
    assert "does not fit" in fails["reason"]
    assert fails["hint"]


def test_a_quantised_cache_takes_half(desk: Desk) -> None:
    desk.spec("    context_tokens: 32768\n", "qwen2.5-7b")
    [plain] = desk.json()["runtimes"]
    desk.spec("    context_tokens: 32768\n    kv_cache_type: q8_0\n", "qwen2.5-7b")
    [compact] = desk.json()["runtimes"]
    before, after = (runtime["devices"][0]["context_bytes"] for runtime in (plain, compact))
    assert after == before * 34 // 64


def test_a_mac_holds_twenty_to_twenty_seven_servers_of_18_gb(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory(monkeypatch, 512 * GIB, 480 * GIB)
    desk.spec("    context_tokens: 8192\n", "qwen3-30b-a3b", ram="20GiB", gpus="[metal]")
    document = desk.json("qwen3-30b-a3b")
    assert 20 <= document["most_copies"] <= 27
    assert document["runtimes"][0]["devices"][0]["id"] == "metal"
    assert document["runtimes"][0]["flags"] == ["--gpu-layers", "49", "--split-mode", "none"]


def test_metal_elsewhere_is_refused(desk: Desk) -> None:
    desk.spec("", "qwen3-4b", gpus="[metal]")
    [runtime] = desk.json()["runtimes"]
    assert "no Apple Silicon" in runtime["reason"]


def test_flags_that_place_by_hand_need_the_manual_strategy(desk: Desk) -> None:
    desk.spec("    flags: {n-gpu-layers: 10}\n", "qwen3-4b")
    [runtime] = desk.json()["runtimes"]
    assert "`n-gpu-layers`" in runtime["reason"]
    assert "strategy: manual" in runtime["hint"]
    desk.spec("    strategy: manual\n    flags: {n-gpu-layers: 10}\n", "qwen3-4b")
    [runtime] = desk.json()["runtimes"]
    assert runtime["reason"] is None
    assert runtime["flags"] == []


def test_fit_leaves_the_split_to_the_engine(desk: Desk) -> None:
    desk.spec("    strategy: fit\n", "qwen3-4b")
    [runtime] = desk.json()["runtimes"]
    assert runtime["flags"] == []
    assert runtime["placed"]


def test_a_model_that_is_not_served_here_is_told(desk: Desk) -> None:
    desk.spec("", "qwen3-4b")
    with pytest.raises(UsageError, match="no model"):
        desk.text("qwen3-5b")
    with pytest.raises(UsageError, match="one model"):
        desk.text("--check")


@pytest.mark.slow
def test_the_second_opinion_agrees(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, engine=str(rpc_llama_server()))
    model = workspace.add("qwen", port=1)
    model.files["v1"] = shapes.write(shapes.tiny(), tmp_path)
    workspace.write()
    workspace.ok("pull")
    document = workspace.json("placement", "qwen", "--check")
    assert document["checks"]
    assert not any(check["flagged"] for check in document["checks"])
