"""A new release of modelctl: other templates, another folder, another environment; the models go on."""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import reconciler
from reconciler.core.types import UnitName
from tests.support.engines import llama_server
from tests.support.staging import Stage, staged
from tests.support.waiting import wait_until
from tests.support.workspace import Workspace

pytestmark = pytest.mark.slow

WATCHER = UnitName("modelctl-watch")
_CHECKOUT = Path(reconciler.__file__).parents[1]


@pytest.fixture(params=["supervisord", "systemd-user", "pm2"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    manager = request.getfixturevalue("manager") if request.param == "systemd-user" else None
    with staged(request.param, manager) as made:
        yield made


@dataclass
class Release:
    """A modelctl in a folder and a virtual environment of its own."""

    folder: Path
    workspace: Workspace

    @classmethod
    def install(cls, folder: Path, workspace: Workspace) -> "Release":
        ours = {"venv": folder / "venv", "app": folder / "app"}
        venv.create(ours["venv"], with_pip=False)
        made = cls(folder, workspace)
        made.unpack()
        scheme = {"base": str(ours["venv"]), "platbase": str(ours["venv"])}
        packages = Path(sysconfig.get_path("purelib", vars=scheme))
        # Its own code, and of the tests' environment what that needs.
        (packages / "release.pth").write_text(f"{ours['app']}\n{sysconfig.get_path('purelib')}\n")
        return made

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def unpack(self) -> None:
        """Put the checkout's code there, in place of what was there before."""
        app = self.folder / "app"
        shutil.rmtree(app, ignore_errors=True)
        unwanted = shutil.ignore_patterns("__pycache__")
        for name in ("reconciler", "units"):
            shutil.copytree(_CHECKOUT / name, app / name, ignore=unwanted)

    def say(self, word: str) -> None:
        """Let the code and every unit that it renders differ from before."""
        (self.folder / "app" / "reconciler" / "__init__.py").write_text(f'"""modelctl {word}."""\n')
        for template in (self.folder / "app" / "units").glob("*.j2"):
            template.write_text(template.read_text().replace("Written by ", f"{word}: written by ", 1))

    def run(self, *arguments: str) -> str:
        environment = {**self.workspace.env(), "PYTHONPATH": ""}
        done = subprocess.run(
            (str(self.python), "-m", "reconciler.cli", *arguments),
            cwd=self.workspace.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def plan(self) -> list[dict[str, Any]]:
        operations: list[dict[str, Any]] = json.loads(self.run("plan", "--format", "json"))["operations"]
        return operations

    def watcher(self) -> int | None:
        watcher = json.loads(self.run("status", "--format", "json"))["watcher"]
        return None if watcher is None else int(watcher["pid"])


def _pids(workspace: Workspace) -> dict[str, int]:
    return {model: row["pid"] for model, row in workspace.runtimes().items()}


def _guards(workspace: Workspace) -> list[list[str]]:
    """Commands of the guards that look after this workspace; supervisord needs none."""
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    duties = str(workspace.store / "state" / "guard.json")
    return [command for command in commands if duties in command]


def test_a_release_from_elsewhere_restarts_nothing(stage: Stage) -> None:
    workspace = stage.workspace
    workspace.engine = str(llama_server())
    workspace.add("a")
    workspace.add("b", extra="    memory_limit: 1GiB\n")
    workspace.write()
    old = Release.install(workspace.root / "old", workspace)
    old.run("apply", "--yes")
    old.run("watch", "--install")
    wait_until(lambda: old.watcher() is not None, 30, "the watcher")
    served, watcher = _pids(workspace), old.watcher()
    unit = stage.unit_file(UnitName("llama@a-cpu_only"))
    before = unit.read_text()

    new = Release.install(workspace.root / "new release", workspace)
    new.say("2.0")
    assert new.plan() == []
    new.run("apply", "--yes")
    assert _pids(workspace) == served
    assert unit.read_text() == before

    new.run("watch", "--install")
    wait_until(lambda: new.watcher() not in {None, watcher}, 30, "the new watcher")
    assert psutil.Process(new.watcher()).cmdline()[0] == str(new.python)
    wait_until(lambda: all(guard[0] == str(new.python) for guard in _guards(workspace)), 30, "the new guard")
    assert len(_guards(workspace)) == (0 if workspace.supervisor == "supervisord" else 1)
    assert _pids(workspace) == served
    shutil.rmtree(old.folder)
    assert new.plan() == []

    # What changes takes the new form, and nothing else does.
    workspace.edit("a", "context_tokens: 512", "context_tokens: 1024")
    wait_until(lambda: _pids(workspace).get("a") not in {None, served["a"]}, 30, "the changed model")
    wait_until(lambda: workspace.runtimes()["a"]["ready"], 30, "its answer")
    assert "2.0" in unit.read_text()
    assert _pids(workspace)["b"] == served["b"]
    new.run("watch", "--uninstall")
    assert _pids(workspace)["b"] == served["b"]


def test_an_upgrade_in_place_keeps_the_embedded_engine_running(stage: Stage) -> None:
    workspace = stage.workspace
    workspace.add("a")
    workspace.write()
    release = Release.install(workspace.root / "app", workspace)
    release.run("apply", "--yes")
    release.run("watch", "--install")
    wait_until(lambda: release.watcher() is not None, 30, "the watcher")
    served, watcher = _pids(workspace), release.watcher()

    release.unpack()
    release.say("2.0")
    assert release.plan() == []
    release.run("apply", "--yes")
    release.run("watch", "--install")
    wait_until(lambda: release.watcher() not in {None, watcher}, 30, "the new watcher")
    assert release.plan() == []
    assert _pids(workspace) == served


def test_an_embedded_engine_that_moved_is_a_change_and_the_plan_says_so(stage: Stage) -> None:
    """Its command names the environment that it is in; what is left of the old one may go any time."""
    workspace = stage.workspace
    workspace.add("a")
    workspace.write()
    old = Release.install(workspace.root / "old", workspace)
    old.run("apply", "--yes")
    served = _pids(workspace)

    new = Release.install(workspace.root / "new", workspace)
    assert ("restart", "llama@a-cpu_only") in {(step["verb"], step["resource"]) for step in new.plan()}
    new.run("apply", "--yes")
    assert _pids(workspace) != served
    command = psutil.Process(_pids(workspace)["a"]).cmdline()
    assert any(word.startswith(str(new.folder)) for word in command)
    assert not any(word.startswith(f"{old.folder}{os.sep}") for word in command)
    shutil.rmtree(old.folder)
    assert new.plan() == []
