"""Who waited for the machine acts on the spec as it is then: whoever had it before may have edited it."""

import subprocess

import pytest

from reconciler.host.lock import apply_lock
from tests.support.workspace import MODELCTL, Workspace, chat

pytestmark = pytest.mark.slow


def behind_an_edit(workspace: Workspace, *arguments: str) -> tuple[int, str]:
    """Run modelctl while somebody holds the lock, who lets `a` serve v2 and then lets go."""
    with apply_lock(workspace.store / "state" / "apply.lock"):
        waiting = subprocess.Popen(
            (*MODELCTL, *arguments),
            cwd=workspace.root,
            env=workspace.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert waiting.stdout
        assert "is changing this machine" in waiting.stdout.readline()
        workspace.edit("a", "current_version: v1", "current_version: v2")
    said, _ = waiting.communicate(timeout=60)
    return waiting.returncode, said


@pytest.fixture
def versions(workspace: Workspace) -> Workspace:
    model = workspace.add("a")
    for number in (2, 3):
        model.files[f"v{number}"] = workspace.gguf(f"a-v{number}", f"I am a, version {number}.")
    workspace.up()
    return workspace


def spec_text(workspace: Workspace) -> str:
    return (workspace.spec / "models.yaml").read_text()


def test_an_apply_that_waited_applies_what_was_edited_meanwhile(versions: Workspace) -> None:
    code, said = behind_an_edit(versions, "apply", "--yes")
    assert code == 0, said
    assert chat(versions.models[0].port) == "I am a, version 2."


def test_a_commit_that_moved_meanwhile_is_the_one_applied(versions: Workspace) -> None:
    code, said = behind_an_edit(versions, "apply", "--ref", "HEAD", "--yes")
    assert code == 0, said
    assert chat(versions.models[0].port) == "I am a, version 2."


def test_a_promotion_that_waited_writes_what_it_serves(versions: Workspace) -> None:
    code, said = behind_an_edit(versions, "promote", "a", "--to", "v1", "--yes")
    assert code == 0, said
    assert chat(versions.models[0].port) == "I am a, version 1."
    assert "current_version: v1" in spec_text(versions)
    assert versions.json("plan")["has_changes"] is False


def test_gc_that_waited_keeps_what_the_spec_serves_by_then(versions: Workspace) -> None:
    versions.ok("pull", "a@v2")
    code, said = behind_an_edit(versions, "gc", "--keep", "1", "--yes")
    assert code == 0, said
    assert (versions.store / "models" / "a" / "v2" / "model.gguf").exists()
