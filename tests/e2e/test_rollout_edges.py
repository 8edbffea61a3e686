"""What a model behind the gateway meets in a long life: long answers, crashes, hands, lost files."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import OpenWorkspace
from tests.support.staging import Stage
from tests.support.traffic import traffic
from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL, Model, Workspace, chat, promoting

pytestmark = pytest.mark.slow

ONE, TWO = "I am a, version 1.", "I am a, version 2."
TOKENS = 8_000


def surging(workspace: Workspace, *, up: bool = True) -> Model:
    """`a` behind the gateway, with v1 in service and v2 in the spec; its answers may be very long."""
    a = workspace.add("a", extra="    rollout: surge\n", context=16_384)
    a.files["v2"] = workspace.gguf("a-v2", TWO)
    if up:
        workspace.up()
    return a


@contextmanager
def long_answer(port: int) -> Iterator[http.client.HTTPResponse]:
    """A streamed answer of some megabytes, of which nobody has read more than its beginning."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    # What the kernel keeps for a reader must not be all there is.
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.sock.settimeout(60)
    connection.sock.connect(("127.0.0.1", port))
    body = {"prompt": "Tell me", "max_tokens": TOKENS, "ignore_eos": True, "stream": True, "logprobs": 20}
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == http.client.OK
        answer.readline()
        yield answer
    finally:
        connection.close()


def versions(workspace: Workspace) -> list[str]:
    return sorted(row["version"] for row in workspace.json("status")["runtimes"] if row["pid"])


def test_an_answer_under_way_is_given_whole_by_the_runtime_that_began_it(workspace: Workspace) -> None:
    a = surging(workspace)
    with long_answer(a.port) as answer, promoting(workspace) as promotion:
        wait_until(lambda: chat(a.port) == TWO, 30, "the new version")
        assert versions(workspace) == ["v1", "v2"], "the old one still has its answer to give"
        assert promotion.poll() is None
        lines = answer.read().decode().split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        assert len(lines) > TOKENS
        assert promotion.wait(30) == 0
    assert versions(workspace) == ["v2"]
    assert workspace.json("plan")["has_changes"] is False


def test_an_answer_that_never_ends_is_cut_when_its_time_is_over(workspace: Workspace) -> None:
    workspace.settings = "  drain_timeout: 1s\n"
    a = surging(workspace)
    with long_answer(a.port) as answer:
        workspace.ok("promote", "a", "--to", "v2", "--yes")
        assert versions(workspace) == ["v2"]
        with pytest.raises((OSError, http.client.HTTPException)):
            answer.read()
    assert workspace.json("status", codes=(0,))["in_sync"] is True
    assert chat(a.port) == TWO


def test_a_long_answer_of_one_model_does_not_hold_up_another(workspace: Workspace) -> None:
    a = surging(workspace, up=False)
    b = workspace.add("b", extra="    rollout: surge\n")
    b.files["v2"] = workspace.gguf("b-v2", "I am b, version 2.")
    workspace.up()
    workspace.edit("a", "current_version: v1", "current_version: v2")
    workspace.edit("b", "current_version: v1", "current_version: v2")
    with long_answer(a.port) as answer:
        command = (*MODELCTL, "apply", "--yes")
        with subprocess.Popen(command, env=workspace.env(), cwd=workspace.root) as applying:
            wait_until(lambda: versions(workspace) == ["v1", "v2", "v2"], 30, "only the busy one is left")
            answer.read()
            assert applying.wait(30) == 0
    assert versions(workspace) == ["v2", "v2"]


def test_a_killed_server_costs_no_more_than_the_answers_it_was_giving(workspace: Workspace) -> None:
    a = surging(workspace)
    with traffic(a.port) as seen:
        wait_until(lambda: seen.count > 20, 20, "answers")
        os.kill(workspace.runtimes()["a"]["pid"], signal.SIGKILL)
        told = seen.count
        wait_until(lambda: seen.count > told + 100, 30, "answers again")
    assert len(seen.failures) <= 3, seen.failures
    assert workspace.json("plan")["has_changes"] is False


@pytest.mark.parametrize("broken", [False, True])
def test_a_unit_that_was_changed_by_hand_is_replaced_and_no_request_fails(
    stage: Stage, *, broken: bool
) -> None:
    workspace = stage.workspace
    a = surging(workspace)
    with traffic(a.port, per_second=20) as seen:
        for _ in range(2):
            wait_until(lambda: seen.count > 10, 20, "answers")
            before = workspace.runtimes()["a"]
            path = stage.unit_file(before["name"])
            text = path.read_text()
            path.write_text("!" if broken else text.replace("MODELCTL_VERSION", "MODELCTL_EDITED"))
            workspace.ok("apply", "--yes")
            after = workspace.runtimes()["a"]
            assert after["pid"] != before["pid"]
            assert not path.exists()
            assert workspace.json("plan")["has_changes"] is False
        told = seen.count
        wait_until(lambda: seen.count > told + 20, 30, "answers again")
    assert seen.failures == []
    workspace.ok("promote", "a", "--to", "v2", "--yes")
    assert chat(a.port) == TWO
    assert versions(workspace) == ["v2"]


def test_a_unit_file_that_only_got_a_comment_or_another_mode_is_put_right_and_the_server_goes_on(
    stage: Stage,
) -> None:
    workspace = stage.workspace
    surging(workspace)
    before = workspace.runtimes()["a"]
    path = stage.unit_file(before["name"])
    text = path.read_text()
    path.write_text(f"# mine\n{text}")
    workspace.ok("apply", "--yes")
    assert path.read_text() == text
    path.chmod(0o666)
    [write, *_] = workspace.json("plan")["operations"]
    assert write["cause"] == "the mode of its unit file is 0666 instead of 0644"
    workspace.ok("apply", "--yes")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    after = workspace.runtimes()["a"]
    assert (after["pid"], after["ready"]) == (before["pid"], True)
    assert workspace.json("plan")["has_changes"] is False


def test_what_a_person_stopped_stays_so_until_it_is_resumed_or_changed(stage: Stage) -> None:
    workspace = stage.workspace
    a = surging(workspace)
    name = workspace.runtimes()["a"]["name"]
    stage.stop(name)
    assert workspace.runtimes()["a"]["held"]
    workspace.ok("apply", "--yes")
    assert workspace.runtimes()["a"]["held"]
    workspace.ok("resume", "a")
    assert chat(a.port) == ONE
    stage.stop(workspace.runtimes()["a"]["name"])
    workspace.ok("promote", "a", "--to", "v2", "--yes")
    assert chat(a.port) == TWO
    assert versions(workspace) == ["v2"]


@pytest.mark.parametrize("supervisor", ["pm2", "systemd-user"])
def test_it_is_the_same_under_every_supervisor(open_workspace: OpenWorkspace, supervisor: str) -> None:
    workspace = open_workspace(supervisor)
    a = surging(workspace)
    with traffic(a.port, per_second=20) as seen:
        workspace.ok("promote", "a", "--to", "v2", "--yes")
        wait_until(lambda: seen.answers[TWO] > 10, 20, "answers of the second version")
    assert seen.failures == []
    workspace.kill_gateway()
    wait_until(lambda: answers(a.port, TWO), 30, "the gateway is back")
    assert versions(workspace) == ["v2"]
    assert workspace.json("plan")["has_changes"] is False
    assert not [path for path in logs(workspace) if "@" in path.stem.removeprefix("llama@")][1:]


def test_two_promotions_at_once_wait_for_each_other(workspace: Workspace) -> None:
    a = surging(workspace, up=False)
    b = workspace.add("b", extra="    rollout: surge\n")
    b.files["v2"] = workspace.gguf("b-v2", "I am b, version 2.")
    workspace.up()
    with traffic(a.port, b.port) as seen:
        first, second = promoting(workspace, "a"), promoting(workspace, "b")
        said = [one.communicate(timeout=60)[0] for one in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0), said
    assert seen.failures == []
    assert versions(workspace) == ["v2", "v2"]
    assert workspace.json("plan")["has_changes"] is False


def test_logs_are_of_the_runtime_that_serves_and_do_not_pile_up(workspace: Workspace) -> None:
    surging(workspace)
    for version in ("v2", "v1", "v2"):
        workspace.ok("promote", "a", "--to", version, "--yes")
    assert workspace.ok("logs", "a", "-n", "5").count("\n") == 5
    assert [path.stem for path in logs(workspace)] == [workspace.runtimes()["a"]["name"]]


def test_a_lost_database_is_found_again_from_the_unit_files(workspace: Workspace) -> None:
    a = surging(workspace)
    before = workspace.runtimes()["a"]["pid"]
    for path in (workspace.store / "state").glob("modelctl.db*"):
        path.unlink()
    workspace.ok("apply", "--yes")
    assert workspace.runtimes()["a"]["pid"] == before
    for path in (workspace.store / "state").glob("modelctl.db*"):
        path.unlink()
    with traffic(a.port, per_second=20) as seen:
        workspace.ok("promote", "a", "--to", "v2", "--yes")
        wait_until(lambda: seen.answers[TWO] > 5, 20, "answers of the second version")
    assert seen.failures == []
    assert versions(workspace) == ["v2"]
    assert workspace.json("plan")["has_changes"] is False


@pytest.mark.parametrize("content", ["", "{}", '{"format_version": 99, "routes": []}'])
def test_a_damaged_snapshot_is_written_anew(workspace: Workspace, content: str) -> None:
    a = surging(workspace)
    before = workspace.runtimes()["a"]["pid"]
    (workspace.store / "state" / "gateway.json").write_text(content)
    workspace.ok("promote", "a", "--to", "v2", "--yes")
    assert chat(a.port) == TWO
    (workspace.store / "state" / "gateway.json").write_text(content)
    workspace.kill_gateway()
    wait_until(lambda: workspace.json("plan")["has_changes"], 20, "its routes are gone")
    workspace.ok("apply", "--yes")
    assert chat(a.port) == TWO
    assert workspace.runtimes()["a"]["pid"] != before


def test_a_gateway_of_somebody_else_is_left_alone(stage: Stage) -> None:
    workspace = stage.workspace
    a = surging(workspace, up=False)
    workspace.write()
    foreign = stage.unit_file("modelctl-gateway")
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_text("# not modelctl's\n")
    done = workspace.run("apply", "--yes")
    assert done.returncode != 0
    assert "belongs to somebody else" in done.stdout + done.stderr
    assert foreign.read_text() == "# not modelctl's\n"
    foreign.unlink()
    workspace.ok("apply", "--yes")
    assert chat(a.port) == ONE


def test_what_is_exported_listens_on_its_port(workspace: Workspace) -> None:
    a = surging(workspace)
    [app] = json.loads(workspace.ok("export", "pm2"))["apps"]
    assert app["name"] == "a-cpu_only"
    assert app["args"][app["args"].index("--port") + 1] == str(a.port)


def logs(workspace: Workspace) -> list[Path]:
    return sorted((workspace.store / "state" / "logs").glob("llama@*"))


def answers(port: int, wanted: str) -> bool:
    try:
        return chat(port) == wanted
    except OSError:
        return False
