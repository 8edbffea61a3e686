"""A spec that names another supervisor or another store while runtimes run."""

import subprocess
from pathlib import Path

import pytest

from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from tests.e2e.conftest import OpenWorkspace
from tests.support.watching import reasons, watching
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

BEFORE, NOW = "supervisor: systemd-user", "supervisor: supervisord"


@pytest.fixture
def served(open_workspace: OpenWorkspace) -> Workspace:
    """One model on a port and one on a socket, which no port in use would protect, under systemd."""
    workspace = open_workspace("systemd-user")
    workspace.add("a")
    workspace.add("b", extra="    rollout: surge\n")
    workspace.up()
    return workspace


def change(workspace: Workspace, before: str, after: str) -> None:
    path = workspace.spec / "models.yaml"
    path.write_text(path.read_text().replace(before, after))
    workspace.commit(f"{before} → {after}")


def test_another_supervisor_is_refused_and_what_runs_is_shown_where_it_runs(served: Workspace) -> None:
    before = {name: row["pid"] for name, row in served.runtimes().items()}
    change(served, BEFORE, NOW)
    for command in (("plan",), ("apply", "--yes"), ("promote", "a", "--to", "v1", "--yes")):
        refused = served.run(*command)
        assert refused.returncode == 1, refused.stdout
        assert (
            "2 units of this store run under systemd-user, and the spec names supervisord" in refused.stderr
        )
        assert "set settings.supervisor: systemd-user" in refused.stderr
    assert {name: row["pid"] for name, row in served.runtimes().items()} == before
    assert "CannotPlan" in reasons(served)
    assert not (served.store / "state" / "supervisord").exists()
    change(served, NOW, BEFORE)
    assert served.json("plan")["has_changes"] is False


def test_a_watcher_keeps_to_the_supervisor_that_has_the_units(served: Workspace) -> None:
    before = {name: row["pid"] for name, row in served.runtimes().items()}
    with watching(served) as watcher:
        watcher.wait_for("watch_began")
        watcher.wait_for("revision_seen")
        change(served, BEFORE, NOW)
        watcher.wait_for("blocked", containing="what is watched runs under systemd-user")
        assert "SupervisorMoved" in reasons(served)
        assert {name: row["pid"] for name, row in served.runtimes().items()} == before
        change(served, NOW, BEFORE)
        watcher.wait_for("unblocked")
        assert chat(served.models[0].port) == "I am a, version 1."


def test_a_file_that_an_editor_just_emptied_leads_to_no_other_store(workspace: Workspace) -> None:
    store = workspace.root / "elsewhere"
    workspace.settings = f"  store: {store}\n"
    workspace.environment["MODELCTL_STORE"] = ""
    workspace.add("a")
    try:
        workspace.up()
        (workspace.spec / "models.yaml").write_text("")
        assert workspace.run("apply", "--yes").returncode == 0
        [row] = workspace.json("status")["runtimes"]
        assert row["ready"] is True
        assert not (workspace.root / ".local").exists()
    finally:
        SupervisordSupervisor(store / "state" / "supervisord").shut_down()


def test_once_its_units_are_gone_from_there_a_store_moves(served: Workspace) -> None:
    folder = Path(served.environment["XDG_CONFIG_HOME"]) / "systemd" / "user"
    change(served, BEFORE, NOW)
    hint = served.run("plan").stderr
    assert f"{folder}/llama@*.service and modelctl-gateway.service" in hint
    for file in (*folder.glob("llama@*.service"), folder / "modelctl-gateway.service"):
        for verb in ("stop", "disable"):
            control = ("systemctl", "--user", verb, file.name)
            subprocess.run(control, env=served.env(), check=True, capture_output=True)
        file.unlink(missing_ok=True)
    try:
        served.ok("apply", "--yes")
        assert [chat(model.port) for model in served.models] == ["I am a, version 1.", "I am b, version 1."]
        assert served.json("plan")["has_changes"] is False
    finally:
        SupervisordSupervisor(served.store / "state" / "supervisord").shut_down()
