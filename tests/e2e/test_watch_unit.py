"""The watcher as a unit of its own, under real supervisors."""

import os
import signal

import pytest

from reconciler.core.types import UnitName
from tests.support.staging import Stage
from tests.support.waiting import wait_until
from tests.support.workspace import chat

pytestmark = pytest.mark.slow

UNIT = UnitName("modelctl-watch")


def test_it_installs_itself_survives_a_kill_and_goes_again(stage: Stage) -> None:
    workspace = stage.workspace
    a = workspace.add("a")
    workspace.write()
    told = workspace.json("watch", "--install", codes=(0,))
    assert told["file"] == str(stage.unit_file(UNIT))
    wait_until(lambda: workspace.json("status")["in_sync"], 30, "in sync")
    pid = workspace.json("status")["watcher"]["pid"]
    served = workspace.runtimes()["a"]["pid"]
    if stage.manager:
        wait_until(lambda: "following" in stage.control("status", UNIT), 10, "its status line")
        assert "Active: active (running)" in stage.control("status", UNIT)

    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: (workspace.json("status")["watcher"] or {}).get("pid") not in {None, pid}, 30, "return"
    )
    assert workspace.runtimes()["a"]["pid"] == served

    workspace.json("watch", "--uninstall", codes=(0,))
    assert not stage.unit_file(UNIT).exists()
    assert workspace.json("status")["watcher"] is None
    assert workspace.runtimes()["a"]["pid"] == served
    assert chat(a.port) == "I am a, version 1."
    assert "is not installed" in workspace.ok("watch", "--uninstall")


def test_system_scope_needs_models_of_the_system(stage: Stage) -> None:
    stage.workspace.add("a")
    stage.workspace.write()
    done = stage.workspace.run("watch", "--install", "--system")
    assert done.returncode == 2
    assert "settings.supervisor: systemd" in done.stderr
