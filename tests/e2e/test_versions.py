"""A model's versions: promoted, rolled back, proven before they count, collected when nobody needs them."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.support.watching import events, reasons, watching
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


def unloadable(workspace: Workspace, model: Model) -> None:
    """A version `bad` whose header reads well, and that the engine then does not load."""
    path = workspace.root / "files" / "bad.gguf"
    good = model.files["v2"].read_bytes()
    path.write_bytes(good.replace(b"tokenizer.ggml.model", b"tokenizer.ggml.m0del"))
    model.files["bad"] = path


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
    assert "tensor 'output.weight' ends at byte" in done.stderr
    assert "the spec still says v1, which serves as before" in done.stderr
    assert "`modelctl pull a@v3`" in done.stderr
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


def test_a_promotion_that_is_committed_is_on_record_as_that_commit(workspace: Workspace) -> None:
    two_versions(workspace)
    for command in (("promote", "a", "--to", "v2"), ("rollback", "a")):
        workspace.ok(*command, "--yes", "--commit")
        head = workspace.git("rev-parse", "HEAD")
        newest = workspace.json("history")["generations"][0]
        assert (newest["revision"], newest["dirty"]) == (head, False)
        status = workspace.json("status")
        for note in (status["attempted"], status["applied"]):
            assert (note["revision"], note["dirty"]) == (head, False)


def test_a_commit_that_is_no_spec_without_other_edits_is_not_what_was_applied(workspace: Workspace) -> None:
    two_versions(workspace)
    path = workspace.spec / "models.yaml"
    text = path.read_text().replace("profiles:\n  cpu_only: {gpus: []}\n", "", 1)
    path.write_text(re.sub(r"cpu_only: {port: \d+, ", "slow: {", text))
    workspace.commit("the profile is in a file that nobody added")
    (workspace.spec / "profiles.yaml").write_text("profiles: {slow: {gpus: []}}\n")
    workspace.ok("apply", "--yes")
    parent = workspace.git("rev-parse", "HEAD")
    workspace.ok("promote", "a", "--to", "v2", "--yes", "--commit")
    assert workspace.git("rev-parse", "HEAD^") == parent
    newest = workspace.json("history")["generations"][0]
    assert (newest["revision"], newest["dirty"]) == (parent, True)


def test_a_watcher_finds_a_committed_promotion_done(workspace: Workspace) -> None:
    a = two_versions(workspace)
    with watching(workspace) as watcher:
        watcher.wait_for("revision_seen")
        workspace.ok("promote", "a", "--to", "v2", "--yes", "--commit")
        before = workspace.runtimes()
        watcher.wait_for("revision_seen", count=2)
        # Something to mend is done after whatever the new revision brought.
        workspace.edit("b", "context_tokens: 512", "context_tokens: 600")
        watcher.wait_for("apply_ended", count=3)
        assert sum(event["type"] == "apply_began" for event in events(workspace)) == 3
        assert workspace.runtimes()["a"]["pid"] == before["a"]["pid"]
        assert chat(a.port) == "I am a, version 2."


def test_a_promotion_that_fails_beside_a_watcher_leaves_nothing_to_wait_for(workspace: Workspace) -> None:
    a = two_versions(workspace)
    unloadable(workspace, a)
    workspace.write()
    workspace.ok("apply", "--yes")
    before, head = spec_text(workspace), workspace.git("rev-parse", "HEAD")
    with watching(workspace) as watcher:
        watcher.wait_for("revision_seen")
        done = workspace.run("promote", "a", "--to", "bad", "--yes", "--commit")
        assert done.returncode == 4
        assert "the spec still says v1, which serves as before" in done.stderr
        assert (spec_text(workspace), workspace.git("rev-parse", "HEAD")) == (before, head)
        status = workspace.json("status")
        assert status["in_sync"] is True
        assert status["attempted"]["revision"] == status["applied"]["revision"] == head
        [fault] = [one for one in status["conditions"] if one["type"] == "Stalled"]
        assert fault["reason"] == "ChangeFailed"
        assert fault["message"].startswith("bad did not hold, v1 is kept: ")
        # An edit that comes now was applied by nobody, so it is no reason for the watcher to stand still.
        workspace.edit("a", "context_tokens: 512", "context_tokens: 600", commit=False)
        wait_until(lambda: "NotCommitted" in reasons(workspace), 20, "the edit being seen")
        assert "AppliedByHand" not in reasons(workspace)
        workspace.commit("edit")
        watcher.wait_for("revision_seen", count=2)
        wait_until(lambda: "ChangeFailed" not in reasons(workspace), 20, "the next change that holds")


def test_a_change_that_did_not_hold_is_taken_as_read_by_resume(workspace: Workspace) -> None:
    a = two_versions(workspace)
    unloadable(workspace, a)
    workspace.write()
    workspace.ok("apply", "--yes")
    assert workspace.run("promote", "a", "--to", "bad", "--yes").returncode == 4
    assert workspace.run("status").returncode == 4
    pid = workspace.runtimes()["a"]["pid"]
    assert "taken as read" in workspace.run("resume", "a").stderr
    assert workspace.run("status").returncode == 0
    assert workspace.runtimes()["a"]["pid"] == pid
    assert workspace.json("history", "a")["generations"][0]["changes"][0]["failure"]


def test_only_some_models_applied_is_not_the_revision_applied(workspace: Workspace) -> None:
    two_versions(workspace)
    applied = workspace.git("rev-parse", "HEAD")
    workspace.edit("a", "context_tokens: 512", "context_tokens: 600")
    workspace.edit("b", "context_tokens: 512", "context_tokens: 600")
    head = workspace.git("rev-parse", "HEAD")
    workspace.ok("apply", "--only", "a", "--yes")
    status = workspace.json("status")
    assert (status["attempted"]["revision"], status["applied"]["revision"]) == (head, applied)
    workspace.ok("apply", "--only", "b", "--yes")
    assert workspace.json("status")["applied"]["revision"] == head, "now nothing is left of it"


def test_a_commit_that_changes_nothing_is_applied_by_looking(workspace: Workspace) -> None:
    two_versions(workspace)
    workspace.commit("a note")
    workspace.ok("apply", "--yes")
    assert workspace.json("status")["applied"]["revision"] == workspace.git("rev-parse", "HEAD")


def test_with_nothing_to_edit_nothing_is_committed_and_that_is_said(workspace: Workspace) -> None:
    two_versions(workspace)
    head = workspace.git("rev-parse", "HEAD")
    said = workspace.ok("promote", "a", "--to", "v1", "--yes", "--commit")
    assert "nothing was committed" in said
    assert workspace.git("rev-parse", "HEAD") == head
