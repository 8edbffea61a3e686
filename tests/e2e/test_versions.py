"""A model's versions: promoted, rolled back, proven before they count, collected when nobody needs them."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL, Model, Workspace, chat

pytestmark = pytest.mark.slow


def two_versions(workspace: Workspace) -> Model:
    """`a` serves v1 of v1 and v2, and `b` is beside it; Git knows who commits."""
    a = workspace.add("a")
    a.files["v2"] = workspace.gguf("a-v2", "I am a, version 2.")
    workspace.add("b")
    workspace.up()
    workspace.git("config", "user.name", "Ada")
    workspace.git("config", "user.email", "ada@localhost")
    workspace.git("config", "commit.gpgsign", "false")
    return a


def spec_text(workspace: Workspace) -> str:
    return (workspace.spec / "models.yaml").read_text()


def test_promote_serves_the_new_version_and_rollback_the_old_one(workspace: Workspace) -> None:
    a = two_versions(workspace)
    before, other = spec_text(workspace), workspace.runtimes()["b"]["pid"]
    workspace.ok("promote", "a", "--to", "v2", "--yes")
    assert chat(a.port) == "I am a, version 2."
    assert spec_text(workspace) == before.replace("current_version: v1", "current_version: v2", 1)
    assert workspace.json("status")["in_sync"] is True
    workspace.ok("rollback", "a", "--yes")
    assert chat(a.port) == "I am a, version 1."
    assert spec_text(workspace) == before
    assert workspace.git("status", "--porcelain") == ""
    assert workspace.json("plan")["has_changes"] is False
    assert workspace.runtimes()["b"]["pid"] == other
    told = [entry["changes"] for entry in workspace.json("history", "a")["generations"]]
    assert [(change["before"], change["after"]) for [change] in told] == [
        ("v2", "v1"),
        ("v1", "v2"),
        (None, "v1"),
    ]


def test_with_commit_only_the_edited_file_is_committed_under_the_persons_name(workspace: Workspace) -> None:
    a = two_versions(workspace)
    (workspace.root / "notes.txt").write_text("unfinished")
    workspace.git("add", "notes.txt")
    done = workspace.run("promote", "a", "--to", "v2", "--yes", "--commit", "--format", "json")
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["version"], last["before"]) == ("version", "v2", "v1")
    assert last["commit"] == workspace.git("rev-parse", "HEAD")
    assert workspace.git("show", "--format=%an <%ae>: %s", "--name-only") == (
        "Ada <ada@localhost>: Promote a to v2\n\nspec/models.yaml"
    )
    assert workspace.git("status", "--porcelain") == "A  notes.txt"
    workspace.ok("rollback", "a", "--yes", "--commit")
    assert workspace.git("log", "-1", "--format=%s") == "Roll back a to v1"
    assert chat(a.port) == "I am a, version 1."


def test_a_hook_that_says_no_leaves_the_edit_and_says_so(workspace: Workspace) -> None:
    a = two_versions(workspace)
    hook = workspace.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = workspace.run("promote", "a", "--to", "v2", "--yes", "--commit")
    assert done.returncode == 1
    assert "not on a Friday" in done.stderr
    assert "git commit -m 'Promote a to v2'" in done.stderr
    assert chat(a.port) == "I am a, version 2."
    assert "current_version: v2" in spec_text(workspace)


def test_a_broken_file_never_reaches_the_unit_and_the_spec_stays_to_the_byte(
    workspace: Workspace,
) -> None:
    a = two_versions(workspace)
    # A header that reads well, and none of the weights that it promises.
    good = a.files["v2"].read_bytes()
    broken = workspace.root / "files" / "broken.gguf"
    broken.write_bytes(good[: len(good) * 3 // 4])
    a.files["v3"] = broken
    workspace.write()
    before, head = spec_text(workspace), workspace.git("rev-parse", "HEAD")
    pid = workspace.runtimes()["a"]["pid"]
    done = workspace.run("promote", "a", "--to", "v3", "--yes", "--commit")
    assert done.returncode == 1, "it never got as far as the unit"
    assert "the spec still says v1" in done.stderr
    assert chat(a.port) == "I am a, version 1."
    assert spec_text(workspace) == before
    assert workspace.git("rev-parse", "HEAD") == head
    assert workspace.runtimes()["a"]["pid"] == pid
    assert workspace.json("plan")["has_changes"] is False


def test_a_version_that_crashes_is_restored_with_its_reason(workspace: Workspace) -> None:
    a = two_versions(workspace)
    # The flags are the model's; only now does the engine meet them, with v2.
    workspace.edit(
        "a", "context_tokens: 512", "context_tokens: 512\n    flags: {chat-template-file: /nonexistent}"
    )
    before = spec_text(workspace)
    done = workspace.run("promote", "a", "--to", "v2", "--yes")
    assert done.returncode == 4, done.stdout + done.stderr
    assert chat(a.port) == "I am a, version 1."
    assert spec_text(workspace) == before
    conditions = workspace.json("status")["conditions"]
    assert "ChangeFailed" in {one["reason"] for one in conditions if one["type"] == "Stalled"}
    newest = workspace.json("history", "a")["generations"][0]
    assert newest["changes"][0]["after"] == "v1"
    assert newest["changes"][0]["failure"]
    refused = workspace.run("rollback", "a", "--yes")
    assert refused.returncode == 3, "v2 never answered, so it is nothing to go back to"


def test_killed_in_the_middle_the_spec_says_what_holds(workspace: Workspace) -> None:
    a = two_versions(workspace)
    before = spec_text(workspace)
    with subprocess.Popen(
        (*MODELCTL, "promote", "a", "--to", "v2", "--yes", "--format", "json"),
        cwd=workspace.root,
        env=workspace.env(),
        stdout=subprocess.PIPE,
        text=True,
    ) as promoting:
        assert promoting.stdout
        for line in promoting.stdout:
            if json.loads(line).get("operation") == "unit:restart:llama@a-cpu_only":
                break
        os.kill(promoting.pid, signal.SIGKILL)
    assert spec_text(workspace) == before
    workspace.ok("apply", "--yes")
    wait_until(lambda: chat(a.port) == "I am a, version 1.", what="v1 serves")
    assert workspace.json("plan")["has_changes"] is False


def test_gc_removes_exactly_what_nobody_needs_while_a_server_runs_on_the_rest(workspace: Workspace) -> None:
    a = two_versions(workspace)
    for number in (3, 4):
        a.files[f"v{number}"] = workspace.gguf(f"a-v{number}", f"I am a, version {number}.")
    workspace.write()
    for version in ("v2", "v3", "v4"):
        workspace.ok("promote", "a", "--to", version, "--yes")
    workspace.ok("promote", "a", "--to", "v1", "--yes")
    versions = workspace.store / "models" / "a"
    assert {path.name for path in versions.iterdir()} == {"v1", "v2", "v3", "v4"}
    # The last two generations have v4 and v1; of the rest v4 is the most recent.
    found = workspace.json("gc", "--keep", "1", "--yes")
    assert {path.name for path in versions.iterdir()} == {"v1", "v4"}
    assert len(list((workspace.store / "blobs").iterdir())) == 3, "those of a@v1, a@v4 and b@v1"
    sizes = [path.stat().st_size for path in (workspace.root / "files").glob("a-v[23].gguf")]
    assert 0 <= found["size_bytes"] - sum(sizes) < 4096, "and their metadata"
    assert chat(a.port) == "I am a, version 1."
    assert workspace.json("plan")["has_changes"] is False
    workspace.ok("verify")
    workspace.ok("rollback", "a", "--yes")
    assert chat(a.port) == "I am a, version 4."
    workspace.ok("promote", "a", "--to", "v2", "--yes")
    assert chat(a.port) == "I am a, version 2."


def test_gc_spares_what_a_server_has_open_though_the_state_is_lost(workspace: Workspace) -> None:
    a = two_versions(workspace)
    workspace.ok("pull", "a@v2")
    workspace.edit("a", "current_version: v1", "current_version: v2")
    shutil.move(workspace.store / "state" / "modelctl.db", workspace.root / "lost.db")
    for left in (workspace.store / "state").glob("modelctl.db-*"):
        Path(left).unlink()
    found = workspace.json("gc", "--keep", "1", "--yes")
    assert any("has it open" in one["reason"] for one in found["kept"] if one["name"] == "a@v1")
    assert chat(a.port) == "I am a, version 1."
