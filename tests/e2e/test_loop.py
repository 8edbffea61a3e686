"""From a YAML spec to a served token, on the embedded engine under supervisord."""

import os
import signal
import socket

import pytest
from openai import OpenAI

from tests.support.waiting import wait_until
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow


def test_a_spec_becomes_two_models_that_answer_and_a_second_apply_is_empty(workspace: Workspace) -> None:
    a, b = workspace.add("a"), workspace.add("b")
    workspace.up()
    assert chat(a.port) == "I am a, version 1."
    assert chat(b.port) == "I am b, version 1."
    status = workspace.json("status")
    assert status["in_sync"] is True
    assert [row["ready"] for row in status["runtimes"]] == [True, True]
    assert status["spec_revision"] == workspace.git("rev-parse", "HEAD")
    plan = workspace.json("plan", "--detailed-exitcode")
    assert plan["has_changes"] is False
    assert plan["operations"] == []
    before = workspace.runtimes()
    workspace.ok("apply", "--yes")
    assert {row["pid"] for row in workspace.runtimes().values()} == {row["pid"] for row in before.values()}


def test_a_killed_server_comes_back(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    pid = workspace.runtimes()["a"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: workspace.runtimes()["a"]["pid"] not in {pid, None}, 15)
    wait_until(lambda: workspace.runtimes()["a"]["ready"], 15)
    assert chat(a.port) == "I am a, version 1."
    assert workspace.runtimes()["a"]["restarts"] == 1


def test_editing_one_context_restarts_that_model_only(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.add("b")
    workspace.up()
    before = workspace.runtimes()
    workspace.edit(a.id, "context_tokens: 512", "context_tokens: 1024")
    diff = workspace.run("diff")
    assert diff.returncode == 1
    assert "+" in diff.stdout
    assert "1024" in diff.stdout
    workspace.ok("apply", "--yes")
    after = workspace.runtimes()
    assert after["a"]["pid"] != before["a"]["pid"]
    assert after["b"]["pid"] == before["b"]["pid"]
    assert workspace.run("diff").returncode == 0


def test_a_model_dropped_from_the_spec_goes_only_with_prune(workspace: Workspace) -> None:
    workspace.add("a")
    b = workspace.add("b")
    workspace.up()
    workspace.drop("b")
    assert "no longer in the spec" in workspace.ok("apply", "--yes")
    assert chat(b.port) == "I am b, version 1."
    [kept] = [
        one for one in workspace.json("status", codes=(0,))["conditions"] if one["reason"] == "NotInSpec"
    ]
    assert "modelctl apply --prune" in kept["message"]
    workspace.ok("apply", "--yes", "--prune")
    assert list(workspace.runtimes()) == ["a"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", b.port)) != 0


def test_a_spec_without_models_prunes_nothing_unless_it_is_said_how_much(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    (workspace.spec / "models.yaml").write_text("settings: {supervisor: supervisord, engine: embedded}\n")
    workspace.commit("nothing left")
    done = workspace.run("apply", "--yes", "--prune")
    assert done.returncode == 3
    assert "llama@a-cpu_only is not removed: the spec has no models at all" in done.stdout
    assert chat(a.port) == "I am a, version 1."
    assert "`modelctl apply --prune --prune-limit 1` removes everything" in done.stdout
    workspace.ok("apply", "--yes", "--prune", "--prune-limit", "1")
    assert workspace.runtimes() == {}
    assert workspace.json("plan")["has_changes"] is False


def test_a_change_that_does_not_come_up_gives_way_to_what_served_before(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    # Valid for the flag check, fatal for the server: there is no such template file.
    workspace.edit(
        a.id, "context_tokens: 512", "flags: {chat-template-file: /nonexistent}\n    context_tokens: 512"
    )
    done = workspace.run("apply", "--yes")
    assert done.returncode == 4, done.stdout + done.stderr
    assert chat(a.port) == "I am a, version 1."
    status = workspace.json("status")
    assert any(condition["reason"] == "ChangeFailed" for condition in status["conditions"])
    assert status["in_sync"] is False


def test_one_broken_model_does_not_stop_the_other(workspace: Workspace) -> None:
    a, b = workspace.add("a"), workspace.add("b")
    b.extra = "    flags: {chat-template-file: /nonexistent}\n    ready_timeout: 10s\n"
    workspace.write()
    done = workspace.run("apply", "--yes")
    assert done.returncode == 4
    assert chat(a.port) == "I am a, version 1."


def test_a_unit_edited_by_hand_is_repaired(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.up()
    [path] = (workspace.store / "state").rglob("llama@a-cpu_only.conf")
    text = path.read_text()
    path.write_text(text.replace("--parallel 1", "--parallel 2"))
    assert "changed by hand" in workspace.ok("plan")
    workspace.ok("apply", "--yes")
    assert path.read_text().count("--parallel 1") == 1


def test_only_touches_the_named_model(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.add("b")
    workspace.write()
    workspace.ok("apply", "--yes", "--only", "a")
    assert list(workspace.runtimes()) == ["a"]
    mistyped = workspace.run("apply", "--yes", "--only", "bb")
    assert mistyped.returncode == 2
    assert "did you mean `b`" in mistyped.stderr


def test_a_saved_plan_is_applied_or_refused_when_the_machine_moved(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    workspace.ok("plan", "--out", "first.plan")
    workspace.ok("apply", "first.plan")
    assert chat(a.port) == "I am a, version 1."
    stale = workspace.run("apply", "first.plan")
    assert stale.returncode == 3
    assert "stale" in stale.stderr


def test_a_commit_can_be_applied_instead_of_the_work_tree(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    workspace.edit(a.id, "context_tokens: 512", "context_tokens: 2048", commit=False)
    assert workspace.json("plan", "--ref", "HEAD")["has_changes"] is False
    assert workspace.json("plan")["spec_dirty"] is True


def test_a_port_in_use_is_said_before_anything_starts(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", a.port))
        taken.listen()
        done = workspace.run("apply", "--yes")
        assert done.returncode == 4
        assert "in use by" in done.stdout
        assert f"pid {os.getpid()}" in done.stdout
        assert workspace.json("status")["in_sync"] is False, "what is refused is not as the spec says"
    workspace.ok("apply", "--yes")


def test_logs_show_what_the_server_says(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.up()
    assert "model" in workspace.ok("logs", "a")
    assert "did you mean" in workspace.run("logs", "llama@a-cpuonly").stderr


def test_a_lost_database_is_rebuilt_by_looking(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.up()
    pid = workspace.runtimes()["a"]["pid"]
    for path in (workspace.store / "state").glob("modelctl.db*"):
        path.unlink()
    workspace.ok("apply", "--yes")
    assert workspace.runtimes()["a"]["pid"] == pid
    assert workspace.json("plan")["has_changes"] is False


def test_a_model_without_a_port_is_served_on_a_socket(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.write()
    workspace.edit("a", f"port: {a.port}, ", "")
    workspace.ok("apply", "--yes")
    row = workspace.runtimes()["a"]
    assert row["ready"] is True
    assert row["endpoint"] == f"unix://{workspace.store}/state/run/a-cpu_only.sock"
    os.kill(row["pid"], signal.SIGKILL)
    wait_until(lambda: workspace.runtimes()["a"]["ready"], 15, "a start over the socket that was left")


def test_the_official_client_is_served(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    client = OpenAI(
        base_url=f"http://127.0.0.1:{a.port}/v1", api_key="none", _strict_response_validation=True
    )
    answer = client.chat.completions.create(model="a", messages=[{"role": "user", "content": "Who are you?"}])
    assert answer.choices[0].message.content == "I am a, version 1."
    stream = client.chat.completions.create(
        model="a", messages=[{"role": "user", "content": "Who are you?"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "I am a, version 1."


def test_a_unit_of_somebody_else_is_left_alone(workspace: Workspace) -> None:
    workspace.add("a")
    workspace.add("b")
    workspace.write()
    units = workspace.store / "state" / "supervisord" / "conf.d"
    units.mkdir(parents=True)
    theirs = "[program:llama@a-cpu_only]\ncommand=/bin/sleep 1000\n"
    (units / "llama@a-cpu_only.conf").write_text(theirs)
    done = workspace.run("apply", "--yes", "--prune")
    assert done.returncode == 4
    assert "belongs to somebody else" in done.stdout
    assert (units / "llama@a-cpu_only.conf").read_text() == theirs
    assert list(workspace.runtimes()) == ["b"]
