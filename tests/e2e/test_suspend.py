"""What a person suspends, stops and resumes beside a watcher."""

import pytest

from tests.support.watching import reasons, stop_by_hand, watching
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

CONTEXT = ("context_tokens: 512", "context_tokens: 1024")


def test_a_suspended_model_is_left_alone_until_it_is_resumed(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.add("b")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        before = workspace.runtimes()
        assert workspace.run("suspend", "c", "--reason", "no such").returncode == 2
        workspace.ok("suspend", "a", "--reason", "a demo", "--until", "2h")
        workspace.edit("a", *CONTEXT)
        workspace.edit("b", *CONTEXT)
        watcher.wait_for("runtime_ready", count=3)
        after = workspace.runtimes()
        assert after["a"]["pid"] == before["a"]["pid"]
        assert after["b"]["pid"] != before["b"]["pid"]
        assert "Suspended" in reasons(workspace)
        workspace.ok("resume", "a")
        watcher.wait_for("runtime_ready", count=4)
        assert workspace.runtimes()["a"]["pid"] != before["a"]["pid"]


def test_resuming_one_model_says_that_everything_is_still_suspended(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    for reason in ("", "  ", "two\nlines", "\x1b[31mred"):
        assert workspace.run("suspend", "--all", "--reason", reason).returncode == 2
    workspace.ok("suspend", "--all", "--reason", "moving house")
    workspace.ok("suspend", "a", "--reason", "a demo")
    said = workspace.run("resume", "a").stderr
    assert "a is resumed" in said
    assert "moving house; `modelctl resume --all`" in said
    assert "moving house" in workspace.run("resume", "a").stderr
    assert "still" not in workspace.run("resume", "--all").stderr


def test_a_suspension_with_an_end_ends_by_itself(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        workspace.ok("suspend", "a", "--reason", "a short demo", "--until", "3s")
        workspace.edit("a", *CONTEXT)
        watcher.wait_for("resumed", containing="over")
        watcher.wait_for("runtime_ready", count=2)
        assert workspace.runtimes()["a"]["ready"]


def test_a_unit_stopped_by_hand_is_held_until_it_is_resumed(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        stop_by_hand(workspace, "llama@a-cpu_only")
        watcher.wait_for("runtime_held")
        assert workspace.runtimes()["a"]["held"] is True
        assert "Held" in reasons(workspace)
        workspace.ok("resume", "a")
        assert chat(a.port) == "I am a, version 1."
        assert workspace.runtimes()["a"]["held"] is False
