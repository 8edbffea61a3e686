"""Ports pass from one runtime of ours to another in one apply."""

import pytest

from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

A, B = "I am a, version 1.", "I am b, version 1."


def replace_port(workspace: Workspace, model: str, before: int, after: int) -> None:
    workspace.edit(model, f"port: {before}", f"port: {after}")


def test_two_models_swap_their_ports(workspace: Workspace) -> None:
    a, b = workspace.add("a"), workspace.add("b")
    workspace.up()
    replace_port(workspace, "a", a.port, b.port)
    workspace.edit("b", f"port: {b.port}", f"port: {a.port}")
    workspace.ok("apply", "--yes")
    assert (chat(a.port), chat(b.port)) == (B, A)
    assert workspace.json("plan")["has_changes"] is False


def test_a_port_goes_to_a_new_model_when_its_old_one_moves(workspace: Workspace) -> None:
    a = workspace.add("a")
    b = workspace.add("b")
    workspace.up()
    workspace.edit("a", f"port: {a.port}", "port: 0")
    path = workspace.spec / "models.yaml"
    text = path.read_text().replace("port: 0", f"port: {b.port}").replace("- id: b ", "- id: c ", 1)
    path.write_text(text)
    workspace.commit("b is c, on a's port")
    workspace.edit("c", f"port: {b.port}", f"port: {a.port}")
    refused = workspace.run("apply", "--yes")
    assert refused.returncode == 4
    assert "llama@b-cpu_only, which stays" in refused.stdout
    assert "modelctl apply --prune" in refused.stdout
    assert (chat(a.port), chat(b.port)) == (A, B)
    workspace.ok("apply", "--yes", "--prune")
    assert (chat(a.port), chat(b.port)) == (B, A)
    assert workspace.json("plan")["has_changes"] is False


def test_a_profile_of_another_name_takes_the_port_over(workspace: Workspace) -> None:
    a = workspace.add("a")
    workspace.up()
    path = workspace.spec / "models.yaml"
    path.write_text(path.read_text().replace("cpu_only", "slow"))
    workspace.commit("another name")
    workspace.ok("apply", "--yes")
    assert chat(a.port) == A
    assert [row["name"] for row in workspace.json("status")["runtimes"]] == ["llama@a-slow"]
    assert workspace.json("plan")["has_changes"] is False
