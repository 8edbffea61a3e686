"""`modelctl import` and `export` as a person runs them, up to the answer of an imported model."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from reconciler.cli import run
from reconciler.demo.tiny_model import tiny_model
from reconciler.demo.workspace import free_ports
from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from reconciler.spec.load import load
from tests.support.nvml.standin import FakeGpus
from tests.support.ollama import FakeOllama
from tests.support.pm2 import pm2_bin
from tests.support.workspace import Workspace, chat


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Not below the folder of pytest: socket paths must be short."""
    with TemporaryDirectory(prefix="mctl-", ignore_cleanup_errors=True) as folder:
        made = Workspace(Path(folder), environment={"OLLAMA_MODELS": f"{folder}/ollama"})
        made.write()
        try:
            yield made
        finally:
            SupervisordSupervisor(made.store / "state" / "supervisord").shut_down()


def spec_of(made: Workspace) -> Any:
    return load({path.name: path.read_text() for path in made.spec.glob("*.yaml")})


def ecosystem(made: Workspace, port: int) -> Path:
    """A PM2 file with one llama-server and one bot."""
    path = made.root / "my models" / "a b.gguf"
    path.parent.mkdir()
    path.write_bytes(tiny_model("I came from PM2."))
    apps = [
        {
            "name": "ada",
            "script": "/opt/llama.cpp/llama-server",
            "args": [
                "-m",
                "my models/a b.gguf",
                "-c",
                "1024",
                "-np",
                "2",
                "--port",
                str(port),
                "--temp",
                "0.5",
            ],
            "cwd": str(made.root),
            "max_memory_restart": "2G",
        },
        {"name": "bot", "script": "bot.js"},
    ]
    file = made.root / "ecosystem.json"
    file.write_text(json.dumps({"apps": apps}))
    return file


@pytest.mark.slow
def test_a_model_of_ollama_is_imported_pulled_and_answers(workspace: Workspace) -> None:
    ollama = FakeOllama(workspace.root / "ollama")
    model = tiny_model("I came from Ollama.")
    ollama.add("tiny", ("model", model), ("template", b"{{ .Prompt }}<|im_end|>"), modified=1_763_373_600)
    ollama.add("mario", ("model", model), ("system", b"You are Mario."), ("params", b'{"temperature": 0.1}'))
    ollama.manifest_path("broken").parent.mkdir()
    ollama.manifest_path("broken").touch()
    done = workspace.run("import", "ollama", "--write")
    assert done.returncode == 0, done.stderr
    assert "left out: broken:latest: its manifest is empty" in done.stderr
    (port,) = free_ports(1)
    file = workspace.spec / "imported-ollama.yaml"
    text = file.read_text()
    file.write_text(text.replace("cpu_only: {}", f"cpu_only: {{port: {port}}}"))
    spec = spec_of(workspace)
    assert [(one.id, one.current_version) for one in spec.models] == [("tiny", "2025-11-17-01")]
    assert [(one.id, one.base_model, one.system_prompt) for one in spec.personas] == [
        ("mario", "tiny", "You are Mario.")
    ]
    workspace.ok("pull")
    workspace.ok("apply", "--yes")
    assert chat(port) == "I came from Ollama."
    assert not workspace.json("plan")["has_changes"]


@pytest.mark.slow
def test_a_pm2_file_is_imported_and_its_model_answers_on_its_port(workspace: Workspace) -> None:
    (port,) = free_ports(1)
    done = workspace.run("import", "pm2", str(ecosystem(workspace, port)), "--write")
    assert done.returncode == 0, done.stderr
    assert "left out: bot: it is no llama-server" in done.stderr
    workspace.ok("pull")
    workspace.ok("apply", "--yes")
    assert chat(port) == "I came from PM2."
    exported = workspace.ok("export", "pm2")
    (app,) = json.loads(exported)["apps"]
    back = workspace.root / "exported.json"
    back.write_text(exported)
    (again,) = workspace.json("import", "pm2", str(back), "--spec", str(workspace.root / "none"))["models"]
    (first,) = (one for one in spec_of(workspace).models if one.id == "ada")
    assert again["id"] == first.id
    assert again["profiles"] == {"cpu_only": {"port": port}}
    assert (again["context_tokens"], again["parallel"]) == (first.context_tokens, first.parallel) == (512, 2)
    assert again["memory_limit"] == "2GiB"
    assert again["flags"] == first.flags == {"temp": 0.5}
    assert app["max_memory_restart"] == 2 * 1024**3


def test_what_lies_where_is_as_it_was_on_the_gpus_of_the_profile(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeGpus(workspace.root / "gpus").install(monkeypatch)
    monkeypatch.setenv("MODELCTL_SPEC", str(workspace.spec))
    monkeypatch.setenv("MODELCTL_STORE", str(workspace.store))
    (workspace.spec / "models.yaml").write_text(
        "settings: {supervisor: supervisord, engine: embedded}\n"
        "profiles: {duo: {gpus: [RTX 5080, RTX 3060]}, cpu_only: {gpus: []}}\n"
    )
    file = ecosystem(workspace, 8123)
    apps = json.loads(file.read_text())
    placing = ["-ngl", "30", "-ts", "3,1", "-ot", "exps=CPU"]
    apps["apps"][0]["args"] += placing
    file.write_text(json.dumps(apps))
    assert run(["import", "pm2", str(file), "--write"]) == 0
    assert run(["pull"]) == 0
    capsys.readouterr()
    assert run(["show", "ada", "--format", "json"]) == 0
    [runtime] = json.loads(capsys.readouterr().out)["runtimes"]
    argv = " ".join(runtime["argv"])
    for flag in ("--gpu-layers 30", "--tensor-split 3,1", "--override-tensor exps=CPU", "--ctx-size 1024"):
        assert argv.count(flag) == 1, argv
    assert run(["plan", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == []


def test_it_prints_and_writes_only_when_told(workspace: Workspace) -> None:
    file = ecosystem(workspace, 8123)
    before = sorted(workspace.spec.iterdir())
    printed = workspace.ok("import", "pm2", str(file))
    assert sorted(workspace.spec.iterdir()) == before
    assert "port: 8123" in printed
    workspace.ok("import", "pm2", str(file), "--write")
    assert (workspace.spec / "imported-pm2.yaml").read_text() == printed
    workspace.ok("validate")


def test_nothing_is_ever_overwritten(workspace: Workspace) -> None:
    there = workspace.spec / "imported-pm2.yaml"
    there.write_text("# mine\n")
    workspace.ok("import", "pm2", str(ecosystem(workspace, 8123)), "--write")
    assert there.read_text() == "# mine\n"
    assert (workspace.spec / "imported-pm2-2.yaml").exists()


def test_new_bytes_of_a_known_tag_become_a_version_of_its_model(workspace: Workspace) -> None:
    ollama = FakeOllama(workspace.root / "ollama")
    ollama.add("tiny", ("model", tiny_model("One.")), modified=1_763_373_600)
    workspace.ok("import", "ollama", "tiny", "--write")
    ollama.add("tiny", ("model", tiny_model("Two.")), modified=1_763_373_600)
    done = workspace.run("import", "ollama", "tiny:latest", "--write")
    assert "added version 2025-11-17-02 of `tiny`" in done.stderr
    (model,) = spec_of(workspace).models
    assert [version.version_id for version in model.versions] == ["2025-11-17-01", "2025-11-17-02"]
    assert model.current_version == "2025-11-17-01"


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("import", "pm2", "ecosystem.config.js"), 2, "is a program"),
        (("import", "pm2", "missing.json"), 1, "No such file"),
        (("import", "ollama", "--store", "nowhere"), 1, "there is no Ollama store"),
        (("import", "pm2", "ecosystem.json", "--profile", "max"), 2, "no profile `max`"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_reason(
    workspace: Workspace, arguments: tuple[str, ...], code: int, why: str
) -> None:
    ecosystem(workspace, 8123)
    done = workspace.run(*arguments)
    assert done.returncode == code
    assert why in done.stderr
    assert not list(workspace.spec.glob("imported-*"))


def test_exports_are_never_written_over(workspace: Workspace) -> None:
    workspace.ok("import", "pm2", str(ecosystem(workspace, 8123)), "--write")
    workspace.ok("export", "quadlet", "--out", "out")
    file = workspace.root / "out" / "llama-ada-cpu_only.container"
    assert "PublishPort=127.0.0.1:8123:8123" in file.read_text()
    assert workspace.run("export", "quadlet", "--out", "out").returncode == 3


@pytest.mark.slow
def test_a_real_dump_of_pm2_is_read(workspace: Workspace, tmp_path: Path) -> None:
    binaries = pm2_bin()
    server = tmp_path / "bin" / "llama-server"
    server.parent.mkdir()
    server.write_text("#!/bin/sh\nexec sleep 600\n")
    server.chmod(0o755)
    home = tmp_path / "pm2"
    env = {**os.environ, "PM2_HOME": str(home), "PATH": f"{binaries}:{os.environ['PATH']}", "LC_ALL": "C"}
    (tmp_path / "e.config.js").write_text(
        "module.exports = {apps: [1, 2].map(n => ({name: `m${n}`, script: '" + str(server) + "',"
        "args: `--model 'a b/m${n}.gguf' --port ${8120 + n} -c 4096 -np 4 -fa`,"
        "cwd: '" + str(tmp_path) + "', max_memory_restart: '3G'}))}"
    )
    pm2 = shutil.which("pm2", path=env["PATH"]) or "pm2"
    try:
        for arguments in (("start", str(tmp_path / "e.config.js")), ("save",)):
            subprocess.run((pm2, *arguments), env=env, check=True, capture_output=True, timeout=60)
        document = workspace.json("import", "pm2", str(home / "dump.pm2"))
    finally:
        subprocess.run((pm2, "kill"), env=env, check=False, capture_output=True, timeout=60)
    assert [model["id"] for model in document["models"]] == ["m1", "m2"]
    assert [model["profiles"]["cpu_only"]["port"] for model in document["models"]] == [8121, 8122]
    first = document["models"][0]
    assert first["versions"][0]["gguf_url"] == f"file://{tmp_path}/a%20b/m1.gguf"
    assert (first["context_tokens"], first["parallel"], first["memory_limit"]) == (1024, 4, "3GiB")
    assert first["flags"] == {"flash-attn": True}
