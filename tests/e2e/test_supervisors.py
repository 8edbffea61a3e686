"""The same story on every supervisor that runs here, and with a real llama-server."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import OpenWorkspace
from tests.support.engines import llama_server
from tests.support.waiting import wait_until
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("supervisor", ["systemd-user", "pm2", "supervisord"])
def test_the_main_job(open_workspace: OpenWorkspace, supervisor: str) -> None:
    workspace = open_workspace(supervisor)
    a, b = workspace.add("a"), workspace.add("b")
    workspace.up()
    assert chat(a.port) == "I am a, version 1."
    assert chat(b.port) == "I am b, version 1."
    assert workspace.json("plan")["operations"] == []
    before = workspace.runtimes()
    assert all(row["ready"] and row["pid"] for row in before.values())

    os.kill(before["a"]["pid"], signal.SIGKILL)
    wait_until(lambda: workspace.runtimes()["a"]["ready"], 20, "the killed server's return")
    assert workspace.runtimes()["a"]["pid"] != before["a"]["pid"]
    assert workspace.json("plan")["operations"] == []

    workspace.edit("a", "context_tokens: 512", "context_tokens: 1024")
    workspace.ok("apply", "--yes")
    after = workspace.runtimes()
    assert after["b"]["pid"] == before["b"]["pid"]

    bad = "flags: {chat-template-file: /no/such}\n    "
    workspace.edit("a", "context_tokens: 1024", f"{bad}context_tokens: 1024")
    failed = workspace.run("apply", "--yes", timeout=120)
    assert failed.returncode == 4, failed.stdout + failed.stderr
    assert "No such file" in failed.stderr
    assert chat(a.port) == "I am a, version 1."
    workspace.edit("a", bad, "")

    workspace.drop("b")
    workspace.ok("apply", "--yes", "--prune", "--only", "a")
    assert chat(b.port) == "I am b, version 1."
    workspace.ok("apply", "--yes", "--prune")
    assert list(workspace.runtimes()) == ["a"]
    assert workspace.ok("logs", "a", "-n", "5").strip()


@pytest.mark.parametrize("supervisor", ["systemd-user", "supervisord"])
def test_a_real_llama_server_serves_the_spec(open_workspace: OpenWorkspace, supervisor: str) -> None:
    workspace = open_workspace(supervisor)
    workspace.engine = str(llama_server())
    a = workspace.add("a", extra="    memory_limit: 1GiB\n")
    workspace.up()
    assert chat(a.port) == "I am a, version 1."
    assert workspace.json("plan")["operations"] == []


def test_a_unit_stopped_by_hand_is_held_until_its_model_changes(open_workspace: OpenWorkspace) -> None:
    workspace = open_workspace("systemd-user")
    workspace.add("a")
    workspace.up()
    _systemctl(workspace, "stop", "llama@a-cpu_only.service")
    assert workspace.runtimes()["a"]["held"] is True
    assert "held" in workspace.ok("apply", "--yes")
    workspace.edit("a", "context_tokens: 512", "context_tokens: 1024")
    workspace.ok("apply", "--yes")
    assert workspace.runtimes()["a"]["ready"] is True


def test_units_are_hardened_and_systemd_has_no_complaint(open_workspace: OpenWorkspace) -> None:
    workspace = open_workspace("systemd-user")
    workspace.add("a")
    workspace.up()
    units = Path(workspace.environment["XDG_CONFIG_HOME"], "systemd", "user")
    unit = units / "llama@a-cpu_only.service"
    verified = subprocess.run(
        ("systemd-analyze", "--user", "verify", str(unit)),
        env=workspace.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.stderr == ""
    assert "NoNewPrivileges=" in unit.read_text()


def _systemctl(workspace: Workspace, *arguments: str) -> None:
    subprocess.run(("systemctl", "--user", *arguments), env=workspace.env(), check=True)
