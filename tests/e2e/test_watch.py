"""`modelctl watch`: what it follows, what it mends, and what it leaves alone."""

import json
import os
import signal

import pytest

from reconciler.host.lock import apply_lock
from tests.support.waiting import wait_until
from tests.support.watching import events, reasons, watching
from tests.support.workspace import MODELCTL, Workspace, chat

pytestmark = pytest.mark.slow

CONTEXT = ("context_tokens: 512", "context_tokens: 1024")


def test_a_commit_is_followed_and_an_edit_is_not(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        assert chat(a.port) == "I am a, version 1."
        pid = workspace.runtimes()["a"]["pid"]
        workspace.edit("a", *CONTEXT, commit=False)
        wait_until(lambda: "NotCommitted" in reasons(workspace), 20, "the edit being seen")
        assert workspace.runtimes()["a"]["pid"] == pid
        workspace.commit("edit")
        watcher.wait_for("runtime_ready", count=2)
        status = workspace.json("status")
        assert status["applied"]["revision"] == workspace.git("rev-parse", "HEAD")
        assert status["attempted"]["revision"] == workspace.git("rev-parse", "HEAD")
        assert status["watcher"]["pid"] == watcher.process.pid
        assert watcher.end() == 0
    assert workspace.json("status")["watcher"] is None


def test_one_watcher_per_state_folder(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        second = workspace.run("watch", "--once")
        assert second.returncode == 3
        assert f"pid {watcher.process.pid}" in second.stderr


def test_a_spec_that_does_not_load_stops_nothing_and_drift_is_still_mended(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        workspace.edit("a", "context_tokens: 512", "context_tokens: many")
        watcher.wait_for("spec_invalid")
        assert "SpecInvalid" in reasons(workspace)
        assert chat(a.port) == "I am a, version 1."
        [path] = (workspace.store / "state").rglob("llama@a-cpu_only.conf")
        path.write_text(path.read_text().replace("--parallel 1", "--parallel 2"))
        watcher.wait_for("runtime_ready", count=2)
        assert "--parallel 1" in path.read_text()
        workspace.edit("a", "context_tokens: many", "context_tokens: 1024")
        watcher.wait_for("runtime_ready", count=3)
        assert "SpecInvalid" not in reasons(workspace)


def test_a_watcher_that_begins_with_a_broken_commit_keeps_what_was_applied(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    good = workspace.git("rev-parse", "HEAD")
    workspace.edit("a", "context_tokens: 512", "context_tokens: many")
    with watching(workspace) as watcher:
        watcher.wait_for("spec_invalid")
        wait_until(lambda: workspace.json("status")["watcher"] is not None, 10, "the watcher's record")
        assert workspace.json("status")["watcher"]["revision"] == good
        assert chat(a.port) == "I am a, version 1."


def test_a_commit_that_drops_every_model_stops_nothing(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    with watching(workspace, "--prune") as watcher:
        watcher.wait_for("apply_ended")
        (workspace.spec / "models.yaml").write_text(
            "settings: {supervisor: supervisord, engine: embedded}\nprofiles:\n  cpu_only: {gpus: []}\n"
        )
        workspace.commit("nothing left")
        watcher.wait_for("blocked", containing="no models at all")
        assert "PruneRefused" in reasons(workspace)
        assert chat(a.port) == "I am a, version 1."


@pytest.mark.parametrize("rollout", ["recreate", "surge"])
def test_what_was_brought_back_is_kept_running_though_its_commit_is_not_tried_again(
    workspace: Workspace, rollout: str
) -> None:
    a = workspace.add("a", extra=f"    rollout: {rollout}\n")
    workspace.up()
    bad = "flags: {chat-template-file: /nonexistent}\n    context_tokens: 512"
    workspace.edit("a", "context_tokens: 512", bad)
    workspace.run("watch", "--once")
    assert "NotRetried" in reasons(workspace)
    kill_until_it_is_given_up(workspace, "a")
    workspace.run("watch", "--once")
    assert chat(a.port) == "I am a, version 1."
    assert {"ChangeFailed", "NotRetried"} <= set(reasons(workspace)), "the commit is as bad as before"
    assert [event["type"] for event in events(workspace)].count("runtime_restored") == 1
    workspace.edit("a", bad, "context_tokens: 512")
    workspace.run("watch", "--once")
    assert "NotRetried" not in reasons(workspace)
    assert workspace.json("plan")["has_changes"] is False


def kill_until_it_is_given_up(workspace: Workspace, model: str) -> None:
    killed = set()

    def given_up() -> bool:
        row = workspace.runtimes()[model]
        if row["pid"] and row["pid"] not in killed:
            killed.add(row["pid"])
            os.kill(row["pid"], signal.SIGKILL)
        return bool(row["state"] == "failed")

    wait_until(given_up, 60, "its supervisor starts it no more")


def test_a_detached_head_and_a_rebase_are_waited_out(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    first = workspace.git("rev-parse", "HEAD")
    workspace.edit("a", *CONTEXT)
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        pid = workspace.runtimes()["a"]["pid"]
        workspace.git("checkout", "--quiet", "--detach", first)
        watcher.wait_for("blocked", containing="HEAD is detached")
        workspace.git("switch", "--quiet", "main")
        watcher.wait_for("unblocked")
        (workspace.root / ".git" / "rebase-merge").mkdir()
        watcher.wait_for("blocked", containing="a rebase is under way")
        assert "GitBusy" in reasons(workspace)
        (workspace.root / ".git" / "rebase-merge").rmdir()
        watcher.wait_for("unblocked", count=2)
        assert workspace.runtimes()["a"]["pid"] == pid


def test_saved_files_are_followed_when_asked_for(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    with watching(workspace, "--follow", "worktree") as watcher:
        watcher.wait_for("apply_ended")
        path = workspace.spec / "models.yaml"
        whole = path.read_text()
        path.write_text(whole[: len(whole) // 2])
        path.write_text(whole.replace(*CONTEXT))
        watcher.wait_for("runtime_ready", count=2)
        assert chat(a.port) == "I am a, version 1."


def test_a_remote_branch_is_fast_forwarded_and_a_rewritten_one_is_not(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    origin = workspace.root / "files" / "origin.git"
    workspace.git("init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    workspace.git("remote", "add", "origin", str(origin))
    workspace.git("push", "--quiet", "origin", "main")
    other = workspace.root / "files" / "other"
    workspace.git("clone", "--quiet", str(origin), str(other))

    def elsewhere(message: str, *, force: bool = False) -> None:
        spec = other / "spec" / "models.yaml"
        spec.write_text(spec.read_text().replace(*CONTEXT) + f"# {message}\n")
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        amend = ["--amend"] if force else []
        workspace.git("-C", str(other), *who, "commit", "--quiet", "--all", *amend, "--message", message)
        workspace.git("-C", str(other), "push", "--quiet", *(["--force"] if force else []), "origin", "main")

    with watching(workspace, "--remote", "origin/main", "--every", "1s") as watcher:
        watcher.wait_for("apply_ended")
        elsewhere("forward")
        watcher.wait_for("runtime_ready", count=2)
        head = workspace.git("rev-parse", "HEAD")
        elsewhere("rewritten", force=True)
        watcher.wait_for("blocked", containing="rewritten")
        assert workspace.git("rev-parse", "HEAD") == head
        assert "RemoteMoved" in reasons(workspace)


def test_edits_applied_by_hand_stay_until_they_are_committed_or_dropped(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        workspace.edit("a", *CONTEXT, commit=False)
        workspace.ok("apply", "--yes")
        pid = workspace.runtimes()["a"]["pid"]
        watcher.wait_for("blocked", containing="applied by hand")
        assert workspace.runtimes()["a"]["pid"] == pid
        workspace.commit("as it is")
        watcher.wait_for("unblocked")
        assert workspace.runtimes()["a"]["pid"] == pid
        assert workspace.json("status")["applied"]["dirty"] is False


def test_a_watcher_killed_in_the_middle_of_an_apply_is_taken_over(workspace: Workspace) -> None:
    a, b = workspace.add("a"), workspace.add("b")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_began", seconds=10)
        watcher.kill()
    assert "WatcherGone" in reasons(workspace)
    with watching(workspace) as watcher:
        wait_until(lambda: workspace.json("status")["in_sync"], 30, "in sync")
        assert chat(a.port) == "I am a, version 1."
        assert chat(b.port) == "I am b, version 1."


def test_a_new_release_of_modelctl_restarts_no_model(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
    pid = workspace.runtimes()["a"]["pid"]
    newer = workspace.root / "files" / "newer"
    info = newer / "modelctl-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: modelctl\nVersion: 99.0\n")
    path = f"{newer}{os.pathsep}{workspace.env()['PYTHONPATH']}"
    workspace.environment["PYTHONPATH"] = path
    assert "99.0" in workspace.ok("--version")
    with watching(workspace) as watcher:
        watcher.wait_for("watch_began", count=2)
        wait_until(lambda: workspace.json("status")["watcher"] is not None, 10, "the watcher's record")
    assert workspace.runtimes()["a"]["pid"] == pid
    assert len([event for event in events(workspace) if event["type"] == "apply_began"]) == 1


def test_hooks_hear_of_events_and_a_hook_that_hangs_is_no_hindrance(workspace: Workspace) -> None:
    heard = workspace.root / "files" / "heard"
    workspace.add("a")
    script = "import os, sys; open(sys.argv[1], 'a').write(sys.stdin.read()); print(sorted(os.environ))"
    hooks = (
        f"hooks:\n  - on: [runtime_ready]\n    run: [{json.dumps(MODELCTL[0])}, -c, {json.dumps(script)},"
        f" {json.dumps(str(heard))}]\n  - {{on: [apply_began], run: [sleep, '600'], timeout: 1s}}\n"
    )
    workspace.settings = ""
    workspace.write()
    (workspace.spec / "hooks.yaml").write_text(hooks)
    workspace.commit("hooks")
    with watching(workspace) as watcher:
        watcher.wait_for("hook_failed", containing="did not end within 1 s")
        wait_until(heard.exists, 10, "the hook")
        wait_until(lambda: heard.read_text().endswith("\n"), 10, "the event")
    assert json.loads(heard.read_text().splitlines()[0])["resource"] == "llama@a-cpu_only"


def test_a_server_that_is_killed_is_back_without_the_watcher_touching_it(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        os.kill(workspace.runtimes()["a"]["pid"], signal.SIGKILL)
        watcher.wait_for("runtime_restarted")
        wait_until(lambda: workspace.runtimes()["a"]["ready"], 15, "ready")
    assert len([event for event in events(workspace) if event["type"] == "apply_began"]) == 1


def test_a_watcher_whose_database_is_taken_away_ends_and_the_next_rebuilds_it(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        pid = workspace.runtimes()["a"]["pid"]
        for path in (workspace.store / "state").glob("modelctl.db*"):
            path.unlink()
        assert watcher.process.wait(30) == 1
    assert "start the watcher again" in (workspace.root / "watch.log").read_text()
    with watching(workspace) as watcher:
        wait_until(lambda: workspace.json("status")["in_sync"], 30, "in sync")
        assert workspace.runtimes()["a"]["pid"] == pid


def test_it_waits_while_a_person_changes_the_machine(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("apply_ended")
        with apply_lock(workspace.store / "state" / "apply.lock"):
            workspace.edit("a", *CONTEXT)
            watcher.wait_for("revision_seen", count=2)
            assert sum(event["type"] == "apply_began" for event in events(workspace)) == 1
        watcher.wait_for("runtime_ready", count=2)


def test_a_first_start_that_fails_is_tried_again_later_and_the_others_serve(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.add("b", extra="    flags: {chat-template-file: /nonexistent}\n    ready_timeout: 10s\n")
    workspace.write()
    with watching(workspace) as watcher:
        watcher.wait_for("runtime_failed")
        assert chat(a.port) == "I am a, version 1."
        pid = workspace.runtimes()["a"]["pid"]
        wait_until(lambda: "BackingOff" in reasons(workspace), 10, "the wait")
        watcher.wait_for("runtime_failed", count=2, seconds=60)
        assert workspace.runtimes()["a"]["pid"] == pid
        workspace.drop("b")
        watcher.wait_for("revision_seen", count=2)
        wait_until(lambda: "BackingOff" not in reasons(workspace), 10, "what failed being forgotten")
