"""One runtime takes over from another while clients ask: no request fails."""

import pytest

from tests.support.staging import Stage
from tests.support.traffic import traffic
from tests.support.waiting import wait_until
from tests.support.workspace import Model, Workspace, chat, promoting, reserve_all_but

pytestmark = pytest.mark.slow

ONE, TWO = "I am a, version 1.", "I am a, version 2."


def surging(workspace: Workspace, *, broken: bool = False) -> Model:
    """`a` behind the gateway, with v1 in service and v2 in the spec; `b` beside it on a port of its own.

    A broken v2 has a header that reads well, and the engine does not load it.
    """
    a = workspace.add("a", extra="    rollout: surge\n")
    a.files["v2"] = path = workspace.gguf("a-v2", TWO)
    if broken:
        path.write_bytes(path.read_bytes().replace(b"tokenizer.ggml.model", b"tokenizer.ggml.m0del"))
    workspace.add("b")
    workspace.up()
    return a


def unit_names(workspace: Workspace) -> list[str]:
    return [row["name"] for row in workspace.json("status")["runtimes"] if row["model"] == "a"]


def test_a_promote_under_load_fails_no_request(stage: Stage) -> None:
    workspace = stage.workspace
    a = surging(workspace)
    other = workspace.runtimes()["b"]["pid"]
    with traffic(a.port) as seen:
        wait_until(lambda: seen.answers[ONE] > 20, 20, "answers of the first version")
        workspace.ok("promote", "a", "--to", "v2", "--yes")
        told = seen.answers[TWO]
        wait_until(lambda: seen.answers[TWO] > told + 20, 20, "answers of the second version")
        workspace.ok("rollback", "a", "--yes")
        told = seen.answers[ONE]
        wait_until(lambda: seen.answers[ONE] > told + 20, 20, "answers of the first version again")
    assert seen.failures == []
    assert set(seen.answers) == {ONE, TWO}
    assert len(unit_names(workspace)) == 1
    assert workspace.json("plan")["has_changes"] is False
    assert workspace.runtimes()["a"]["endpoint"] == f"http://127.0.0.1:{a.port}"
    assert workspace.runtimes()["b"]["pid"] == other


def test_a_version_that_does_not_come_up_never_gets_a_request(workspace: Workspace) -> None:
    a = surging(workspace, broken=True)
    before = workspace.runtimes()["a"]
    with traffic(a.port) as seen:
        done = workspace.run("promote", "a", "--to", "v2", "--yes")
        assert done.returncode == 4, done.stderr
    assert seen.failures == []
    assert set(seen.answers) <= {ONE}
    after = workspace.runtimes()["a"]
    assert (after["pid"], after["version"], after["ready"]) == (before["pid"], "v1", True)
    assert unit_names(workspace) == [before["name"]]
    assert not list(workspace.store.glob("state/run/*@*.sock.*"))


def test_without_room_for_both_requests_wait_for_the_new_one(workspace: Workspace) -> None:
    workspace.settings = reserve_all_but(512 * 1024**2)
    a = surging(workspace)
    before = workspace.runtimes()["a"]["pid"]
    assert "hold" in [step["verb"] for step in _promotion(workspace)]
    with traffic(a.port) as seen:
        wait_until(lambda: seen.answers[ONE] > 20, 20, "answers of the first version")
        workspace.ok("promote", "a", "--to", "v2", "--yes")
        told = seen.answers[TWO]
        wait_until(lambda: seen.answers[TWO] > told + 20, 20, "answers of the second version")
    assert seen.failures == []
    assert workspace.runtimes()["a"]["pid"] != before


def test_without_room_a_version_that_fails_gives_way_to_the_old_one(workspace: Workspace) -> None:
    workspace.settings = reserve_all_but(512 * 1024**2)
    a = surging(workspace, broken=True)
    with traffic(a.port) as seen:
        done = workspace.run("promote", "a", "--to", "v2", "--yes")
        assert done.returncode == 4, done.stderr
        told = seen.answers[ONE]
        wait_until(lambda: seen.answers[ONE] > told + 20, 20, "answers of the first version")
    assert seen.failures == []
    assert set(seen.answers) == {ONE}


def test_without_room_requests_that_nothing_can_serve_are_told_so_before_the_apply_ends(
    workspace: Workspace,
) -> None:
    """The route of the new runtime cannot be written down while requests wait for it."""
    workspace.settings = reserve_all_but(512 * 1024**2)
    a = surging(workspace)
    snapshot, kept = workspace.store / "state" / "gateway.json", workspace.root / "kept.json"
    with traffic(a.port) as seen:
        wait_until(lambda: seen.answers[ONE] > 20, 20, "answers of the first version")
        with promoting(workspace) as promotion:
            wait_until(lambda: '"backend": null' in snapshot.read_text(), 20, "requests wait")
            snapshot.rename(kept)
            snapshot.mkdir()
            assert promotion.wait(30) != 0
        told = len(seen.failures)
        wait_until(lambda: len(seen.failures) > told + 20, 20, "each is told at once")
        assert all("503" in failure and "model_unavailable" in failure for failure in seen.failures)
        assert "RequestsRefused" in {one["reason"] for one in workspace.json("status")["conditions"]}
        snapshot.rmdir()
        workspace.ok("apply", "--yes")
        answered = seen.count - len(seen.failures)
        wait_until(lambda: seen.count - len(seen.failures) > answered + 20, 20, "answers again")
    assert workspace.json("plan")["has_changes"] is False


def _promotion(workspace: Workspace) -> list[dict[str, str]]:
    workspace.edit("a", "current_version: v1", "current_version: v2", commit=False)
    steps: list[dict[str, str]] = workspace.json("plan")["operations"]
    workspace.edit("a", "current_version: v2", "current_version: v1", commit=False)
    return steps


def test_a_model_moves_behind_the_gateway_and_back(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    assert workspace.runtimes()["a"]["name"] == "llama@a-cpu_only"
    workspace.edit("a", "versions:", "rollout: surge\n    versions:")
    workspace.ok("apply", "--yes")
    assert chat(a.port) == ONE
    assert "@a-cpu_only@" in workspace.runtimes()["a"]["name"]
    assert workspace.json("plan")["has_changes"] is False
    workspace.edit("a", "rollout: surge", "rollout: recreate")
    workspace.ok("apply", "--yes")
    assert chat(a.port) == ONE
    assert unit_names(workspace) == ["llama@a-cpu_only"]
    assert workspace.json("plan")["has_changes"] is False
    assert not list(workspace.store.rglob("modelctl-gateway*.conf"))


def test_the_gateway_comes_back_by_itself_and_models_do_not_notice(workspace: Workspace) -> None:
    a = surging(workspace)
    before = workspace.runtimes()["a"]["pid"]
    workspace.kill_gateway()
    wait_until(lambda: _answers(a.port), 20, "the gateway is back")
    assert workspace.runtimes()["a"]["pid"] == before
    assert workspace.json("plan")["has_changes"] is False


def _answers(port: int) -> bool:
    try:
        return chat(port) == ONE
    except OSError:
        return False
