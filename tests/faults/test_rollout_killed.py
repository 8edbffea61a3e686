"""SIGKILL in the middle of a promotion behind the gateway: of the apply, the gateway, the supervisor."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.staging import staged
from tests.support.traffic import traffic
from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL, Workspace, chat, reserve_all_but

pytestmark = pytest.mark.slow

ONE, TWO = "I am a, version 1.", "I am a, version 2."
BESIDE, NO_ROOM = "beside", "no room"


@pytest.fixture(params=[BESIDE, NO_ROOM])
def workspace(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """`a` behind the gateway with v1 in service; v2 is wanted, and was not applied yet."""
    with staged("supervisord") as stage:
        made = stage.workspace
        if request.param == NO_ROOM:
            made.settings = reserve_all_but(512 * 1024**2)
        a = made.add("a", extra="    rollout: surge\n")
        a.files["v2"] = made.gguf("a-v2", TWO)
        made.up()
        made.edit("a", "current_version: v1", "current_version: v2")
        yield made


def beside(workspace: Workspace) -> bool:
    return not workspace.settings


@pytest.mark.parametrize("step", range(13))
def test_an_apply_killed_after_a_step_is_finished_by_the_next(workspace: Workspace, step: int) -> None:
    """Beside the old one, nobody notices; without room, who asks in between waits, and is answered."""
    [a] = workspace.models
    with traffic(a.port, per_second=20) as seen:
        wait_until(lambda: seen.count > 5, 20, "answers")
        kill_apply_after(workspace, step)
        if beside(workspace):
            told = seen.count
            wait_until(lambda: seen.count > told + 20, 20, "answers while nobody finishes it")
        workspace.ok("apply", "--yes")
        told = seen.answers[TWO]
        wait_until(lambda: seen.answers[TWO] > told + 5, 20, "answers of the new version")
    assert seen.failures == []
    assert_only(workspace, "v2")


@pytest.mark.parametrize("step", [4, 6, 7, 9])
def test_an_apply_killed_after_a_step_can_be_taken_back(workspace: Workspace, step: int) -> None:
    kill_apply_after(workspace, step)
    workspace.edit("a", "current_version: v2", "current_version: v1")
    workspace.ok("apply", "--yes")
    assert_only(workspace, "v1")


@pytest.mark.parametrize("step", [4, 6, 7])
def test_a_version_that_does_not_come_up_leads_back_even_after_a_kill(
    workspace: Workspace, step: int
) -> None:
    workspace.edit("a", "threads: 1", "threads: 1, chat-template-file: /no/such")
    kill_apply_after(workspace, step)
    assert workspace.run("apply", "--yes").returncode == 4
    workspace.edit("a", "threads: 1, chat-template-file: /no/such", "threads: 1")
    workspace.edit("a", "current_version: v2", "current_version: v1")
    assert chat(workspace.models[0].port) == ONE
    workspace.ok("apply", "--yes")
    workspace.ok("resume", "a")
    assert_only(workspace, "v1")


@pytest.mark.parametrize("verb", ["write", "hold", "stop", "start", "check"])
def test_a_gateway_that_is_killed_in_between_is_told_when_it_is_back(workspace: Workspace, verb: str) -> None:
    def at(event: dict[str, str]) -> bool:
        return (
            event["event"] == "ended"
            and event["operation"].startswith(("unit:", "route:"))
            and (event["operation"].split(":")[1] == verb)
        )

    if verb == "hold" and beside(workspace):
        pytest.skip("nothing is held")
    code = apply_and(workspace, at, workspace.kill_gateway)
    assert code == 0
    wait_until(lambda: answer_of(workspace) == TWO, 20, "the gateway is back")
    assert_only(workspace, "v2")


@pytest.mark.parametrize("step", [4, 6, 8])
def test_a_supervisor_that_is_killed_in_between_costs_one_more_apply(workspace: Workspace, step: int) -> None:
    ended = 0

    def at(event: dict[str, str]) -> bool:
        nonlocal ended
        ended += event["event"] == "ended"
        return ended >= step

    apply_and(workspace, at, lambda: kill_supervisor(workspace))
    workspace.ok("apply", "--yes")
    assert_only(workspace, "v2")


def kill_supervisor(workspace: Workspace) -> None:
    pid = int((workspace.store / "state" / "supervisord" / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)


def kill_apply_after(workspace: Workspace, steps: int) -> None:
    """Kill it once that many operations have ended; one that has fewer is not killed."""
    ended = 0

    def at(event: dict[str, str]) -> bool:
        nonlocal ended
        ended += event["event"] == "ended"
        return event["event"] != "began" and ended >= steps

    apply_and(workspace, at, None)


def apply_and(
    workspace: Workspace, at: Callable[[dict[str, str]], bool], act: Callable[[], object] | None
) -> int:
    """Apply, and at the first event for which `at` is true do `act`; None kills the apply itself."""
    with subprocess.Popen(
        (*MODELCTL, "apply", "--yes", "--format", "json"),
        env=workspace.env(),
        cwd=workspace.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if at(json.loads(line)):
                if act is None:
                    process.send_signal(signal.SIGKILL)
                else:
                    act()
                break
        process.stdout.read()
    return process.returncode


def assert_only(workspace: Workspace, version: str) -> None:
    """It is served by one runtime, and nothing is left of any other."""
    assert workspace.json("plan")["operations"] == []
    assert workspace.json("status", codes=(0,))["in_sync"] is True
    [row] = workspace.json("status")["runtimes"]
    assert (row["version"], row["ready"]) == (version, True)
    assert chat(workspace.models[0].port) == {"v1": ONE, "v2": TWO}[version]
    run = workspace.store / "state" / "run"
    sockets = {path.stem for path in run.iterdir()}
    assert sockets == {"gateway", row["name"].removeprefix("llama@")}
    units = {path.stem for path in (workspace.store / "state" / "supervisord" / "conf.d").glob("*.conf")}
    assert units == {row["name"], "modelctl-gateway"}
    routes = json.loads((workspace.store / "state" / "gateway.json").read_text())["routes"]
    assert [route["model"] for route in routes] == ["a"]
    assert servers(workspace) == 1


def answer_of(workspace: Workspace) -> str | None:
    try:
        return chat(workspace.models[0].port)
    except OSError:
        return None


def servers(workspace: Workspace) -> int:
    """Processes that serve one of its models."""
    found = 0
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        found += (
            "--alias" in words
            and any(str(workspace.store) in word for word in words)
            and (Path(words[0]).name != "strace")
        )
    return found
