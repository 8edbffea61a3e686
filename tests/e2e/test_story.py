"""The story of a machine that follows commits: a bad one, a good one, a way back, and people's hands."""

import os
import signal
from pathlib import Path

import pytest

from reconciler.core.types import UnitName
from tests.support.staging import Stage
from tests.support.waiting import wait_until
from tests.support.watching import events, reasons, watching
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

UNIT = UnitName("llama@a-cpu_only")


def test_a_machine_follows_its_commits(stage: Stage) -> None:
    workspace = stage.workspace
    a = workspace.add("a")
    a.files["v2"] = workspace.gguf("a-v2", "I am a, version 2.")
    workspace.write()
    with watching(workspace) as watcher:
        # Commit A serves.
        watcher.wait_for("apply_ended", containing="is applied")
        commit_a = workspace.git("rev-parse", "HEAD")
        assert chat(a.port) == "I am a, version 1."

        # Commit B fails its gate: A is back, the reason is said, and B is not tried again.
        bad = "flags: {chat-template-file: /nonexistent}\n    context_tokens: 512"
        workspace.edit("a", "context_tokens: 512", bad)
        commit_b = workspace.git("rev-parse", "HEAD")
        watcher.wait_for("runtime_restored")
        watcher.wait_for("apply_ended", count=2)
        assert chat(a.port) == "I am a, version 1."
        status = workspace.json("status")
        assert status["attempted"]["revision"] == commit_b
        assert status["applied"]["revision"] == commit_a
        assert {"ChangeFailed", "NotRetried"} <= {one["reason"] for one in status["conditions"]}
        # Looks and passes go on, for reasons of their own: none of them is a reason to try B.
        stage.unit_file(UNIT).touch()
        os.kill(workspace.runtimes()["a"]["pid"], signal.SIGKILL)
        watcher.wait_for("runtime_restarted")
        assert _begun(workspace) == 2

        # Commit C promotes.
        workspace.edit("a", bad, "context_tokens: 512", commit=False)
        workspace.edit("a", "current_version: v1", "current_version: v2")
        watcher.wait_for("apply_ended", count=3)
        assert chat(a.port) == "I am a, version 2."
        assert not {"ChangeFailed", "NotRetried"} & reasons(workspace)

        # Back to A's version, for good.
        workspace.git("config", "user.name", "test")
        workspace.git("config", "user.email", "test@localhost")
        workspace.ok("rollback", "a", "--commit", "--yes")
        assert chat(a.port) == "I am a, version 1."
        head = workspace.git("rev-parse", "HEAD")
        wait_until(lambda: workspace.json("status")["applied"]["revision"] == head, 30, "the rollback seen")
        assert workspace.runtimes()["a"]["version"] == "v1"
        assert _begun(workspace) == 4
        workspace.ok("plan", "--detailed-exitcode")

        # A unit edited by hand is repaired.
        _edit(stage.unit_file(UNIT), "--parallel 1", "--parallel 2")
        watcher.wait_for("apply_ended", count=5)
        assert "--parallel 1" in stage.unit_file(UNIT).read_text()

        # A unit stopped by hand stays stopped and shows as held.
        stage.stop(UNIT)
        watcher.wait_for("runtime_held")
        assert workspace.runtimes()["a"]["held"] is True
        assert _begun(workspace) == 5

        # A killed watcher is no harm, and its successor still holds it.
        watcher.kill()
    with watching(workspace) as watcher:
        watcher.wait_for("watch_began", count=2)
        wait_until(lambda: workspace.json("status")["watcher"] is not None, 10, "the watcher's record")
        assert workspace.runtimes()["a"]["held"] is True
        workspace.ok("resume", "a")
        assert chat(a.port) == "I am a, version 1."


def _edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def _begun(workspace: Workspace) -> int:
    return sum(event["type"] == "apply_began" for event in events(workspace))
