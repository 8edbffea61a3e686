"""SIGKILL in the middle of an apply, at every step and at system calls: the next apply finishes the work."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.staging import staged
from tests.support.workspace import MODELCTL, Workspace, chat

pytestmark = pytest.mark.slow


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Two models that answer, and a change of the first that was not applied yet."""
    with staged("supervisord") as stage:
        made = stage.workspace
        made.add("a")
        made.add("b")
        made.up()
        made.edit("a", "context_tokens: 512", "context_tokens: 1024")
        yield made


@pytest.mark.parametrize("step", range(7))
def test_an_apply_killed_after_a_step_is_finished_by_the_next(workspace: Workspace, step: int) -> None:
    pids = {name: row["pid"] for name, row in workspace.runtimes().items()}
    _apply_and_kill_after(workspace, step)
    assert chat(workspace.models[1].port) == "I am b, version 1."
    workspace.ok("apply", "--yes")
    _assert_as_wanted(workspace)
    assert workspace.runtimes()["b"]["pid"] == pids["b"], "the unchanged model was never touched"


@pytest.mark.parametrize("call", ["rename", "fsync", "fdatasync", "pwrite64", "unlink"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_an_apply_killed_at_a_system_call_is_finished_by_the_next(
    workspace: Workspace, call: str, count: int
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    inject = f"inject={call}:signal=KILL:when={count}"
    command = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *MODELCTL)
    subprocess.run(
        (*command, "apply", "--yes"),
        env=workspace.env(),
        cwd=workspace.root,
        capture_output=True,
        check=False,
    )
    assert chat(workspace.models[1].port) == "I am b, version 1."
    workspace.ok("apply", "--yes")
    _assert_as_wanted(workspace)


def test_a_failed_change_of_a_killed_apply_still_has_its_way_back(workspace: Workspace) -> None:
    workspace.edit("a", "threads: 1", "threads: 1, chat-template-file: /no/such")
    _apply_and_kill_after(workspace, 2)
    done = workspace.run("apply", "--yes")
    assert done.returncode == 4
    assert chat(workspace.models[0].port) == "I am a, version 1."


def _apply_and_kill_after(workspace: Workspace, steps: int) -> None:
    """Kill it once that many operations have ended; one that has fewer is not killed."""
    with subprocess.Popen(
        (*MODELCTL, "apply", "--yes", "--format", "json"),
        env=workspace.env(),
        cwd=workspace.root,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ended = 0
        for line in process.stdout:
            event = json.loads(line)
            ended += event["event"] == "ended"
            if event["event"] != "began" and ended >= steps:
                process.send_signal(signal.SIGKILL)
                return


def _assert_as_wanted(workspace: Workspace) -> None:
    assert workspace.json("plan")["operations"] == []
    for model in workspace.models:
        assert chat(model.port) == f"I am {model.id}, version 1."
    rows = workspace.runtimes()
    [unit] = (workspace.store / "state").rglob("llama@a-cpu_only.conf")
    assert "--ctx-size 1024" in unit.read_text()
    assert all(row["ready"] for row in rows.values())
