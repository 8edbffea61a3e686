"""A card is taken for a game and comes back, while clients ask: runtimes move, no request is lost."""

from dataclasses import replace

import psutil
import pytest

from reconciler.demo.workspace import free_ports
from reconciler.host.state import State
from tests.support.nvml.standin import GIB, FakeGpus, FakeProcess
from tests.support.staging import Stage
from tests.support.traffic import traffic
from tests.support.waiting import wait_until
from tests.support.watching import Watching, watching
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

PROFILES = """profiles:
  max: {gpus: ["RTX 5080", "RTX 3060"]}
  mid: {gpus: ["RTX 3060"]}
"""
ANSWER = "I am a, version 1."


def move_in(
    workspace: Workspace, settings: str = "", shares: str = ""
) -> tuple[FakeGpus, int, tuple[int, int]]:
    """`a` behind the gateway on one port in both profiles, `b` on a port of its own in each."""
    gpus = FakeGpus(workspace.root / "gpus")
    workspace.environment.update(gpus.environment())
    front, under_max, under_mid = free_ports(3)
    workspace.settings = settings
    workspace.add("a", port=front, extra="    rollout: surge\n")
    workspace.add("b", port=under_max)
    workspace.write()
    spec = workspace.spec / "models.yaml"
    text = spec.read_text().replace("profiles:\n  cpu_only: {gpus: []}\n", PROFILES)
    for port, other in ((front, front), (under_max, under_mid)):
        text = text.replace(
            f"      cpu_only: {{port: {port}, flags: {{threads: 1}}}}",
            f"      max: {{port: {port}, {shares}flags: {{threads: 1}}}}\n"
            f"      mid: {{port: {other}, flags: {{threads: 1}}}}",
        )
    spec.write_text(text)
    workspace.commit("profiles")
    workspace.ok("apply", "--yes")
    return gpus, front, (under_max, under_mid)


def play(gpus: FakeGpus) -> None:
    game = FakeProcess(4242, 10 * GIB, 97, graphics=True)
    gpus.change(0, utilisation=97, free=5 * GIB, processes=(game,))


def stop_playing(gpus: FakeGpus) -> None:
    gpus.change(0, utilisation=2, free=15 * GIB, processes=())


def until_active(watch: Watching, profile: str) -> None:
    """The watcher looks when something stirs, at most once a second; else every ten."""
    store = watch.workspace.store
    stirred, told = store / "blobs" / "stirred", store / "state" / "gpu_profile"

    def active() -> bool:
        stirred.touch()
        stirred.unlink()
        return told.exists() and told.read_text().strip() == profile

    wait_until(active, 90, f"profile {profile}")
    wait_until(
        lambda: watch.workspace.json("status")["in_sync"], 60, f"everything is as profile {profile} wants it"
    )


def by_profile(workspace: Workspace, model: str) -> dict[str, int]:
    """Process ids of a model's runtimes."""
    rows = workspace.json("status")["runtimes"]
    return {row["profile"]: row["pid"] for row in rows if row["model"] == model and row["pid"]}


def test_runtimes_move_with_the_profile_and_back_without_a_lost_request(stage: Stage) -> None:
    workspace = stage.workspace
    gpus, front, (under_max, under_mid) = move_in(workspace)
    first = by_profile(workspace, "a")
    with watching(workspace) as watch, traffic(front) as seen:
        watch.wait_for("watch_began")
        play(gpus)
        until_active(watch, "mid")
        wait_until(lambda: len(by_profile(workspace, "a")) == 2, 30, "both runtimes")
        assert workspace.json("status")["profile"] == "mid"
        assert chat(under_mid) == "I am b, version 1."
        assert chat(under_max) == "I am b, version 1.", "it finishes what it has, and lingers"
        told = seen.count
        wait_until(lambda: seen.count > told + 20, 20, "answers under mid")
        stop_playing(gpus)
        until_active(watch, "max")
        assert by_profile(workspace, "a")["max"] == first["max"], "kept, so it was not started again"
        told = seen.count
        wait_until(lambda: seen.count > told + 20, 20, "answers under max")
    assert seen.failures == []
    assert set(seen.answers) == {ANSWER}


def test_what_does_not_fit_beside_the_old_makes_its_requests_wait(workspace: Workspace) -> None:
    """The reserve leaves each card room for the models, and no room beside what is on it."""
    reserve = f"  reserve: {{vram: {11 * GIB + GIB // 8}}}\n"
    gpus, front, _ = move_in(workspace, reserve, shares="gpu_percentages: [50, 50], ")
    with watching(workspace) as watch, traffic(front) as seen:
        watch.wait_for("watch_began")
        wait_until(lambda: seen.count > 20, 20, "answers under max")
        play(gpus)
        until_active(watch, "mid")
        assert set(by_profile(workspace, "a")) == {"mid"}
        told = seen.count
        wait_until(lambda: seen.count > told + 20, 20, "answers under mid")
        stop_playing(gpus)
        until_active(watch, "max")
        told = seen.count
        wait_until(lambda: seen.count > told + 20, 20, "answers under max")
    assert seen.failures == []
    assert set(seen.answers) == {ANSWER}


def test_an_old_runtime_stops_when_it_has_been_idle_for_five_minutes(workspace: Workspace) -> None:
    gpus, _, (under_max, _) = move_in(workspace)
    with watching(workspace) as watch:
        watch.wait_for("watch_began")
        play(gpus)
        until_active(watch, "mid")
    assert set(by_profile(workspace, "b")) == {"max", "mid"}
    _age(workspace, 290)
    assert workspace.json("plan")["has_changes"] is False
    _age(workspace, 20)
    with watching(workspace) as watch:
        watch.wait_for("runtime_removed", containing="gone")
    assert set(by_profile(workspace, "b")) == {"mid"}
    with pytest.raises(OSError, match="refused"):
        chat(under_max)


def _age(workspace: Workspace, seconds: float) -> None:
    """As if so much time had passed since the runtimes of the old profile were used."""
    with State.open(workspace.store / "state" / "modelctl.db", create=False) as state:
        for unit in state.units().values():
            if unit.retired_at is not None and unit.model == "b":
                state.put_unit(replace(unit, retired_at=unit.retired_at - seconds))


def test_what_our_runtimes_hold_is_ours_while_the_supervisor_does_not_answer(workspace: Workspace) -> None:
    gpus, _, _ = move_in(workspace)
    ours = tuple(FakeProcess(pid, GIB // 512) for pid in by_profile(workspace, "a").values())
    gpus.change(0, free=2 * GIB - GIB // 1024, processes=ours)
    assert workspace.json("gpu")["profile"] == "max"
    pid_file = workspace.store / "state" / "supervisord" / "supervisord.pid"
    daemon = psutil.Process(int(pid_file.read_text()))
    daemon.suspend()
    try:
        assert workspace.json("gpu")["profile"] == "max"
        refused = workspace.run("apply", "--yes")
        assert refused.returncode == 1
        assert "does not answer" in refused.stderr
    finally:
        daemon.resume()
    assert int(pid_file.read_text()) == daemon.pid
    assert workspace.json("status")["in_sync"]
