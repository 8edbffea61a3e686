"""promote, rollback, pin and unpin as a person types them, where nothing has to run."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.workspace import Workspace


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A spec in Git with two versions of `a`, of which nothing was ever applied. Socket paths are short."""
    with TemporaryDirectory(prefix="mctl-") as folder:
        yield made_in(Path(folder))


def made_in(folder: Path) -> Workspace:
    made = Workspace(folder, environment={"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"})
    made.add("a").files["v2"] = made.gguf("a-v2", "I am a, version 2.")
    made.write()
    made.git("config", "user.name", "Ada")
    made.git("config", "user.email", "ada@localhost")
    return made


def dry(workspace: Workspace, *options: str) -> subprocess.CompletedProcess[str]:
    return workspace.run("promote", "a", "--to", "v2", "--dry-run", *options)


def text(workspace: Workspace) -> str:
    return (workspace.spec / "models.yaml").read_text()


def test_a_dry_run_shows_the_edit_and_the_plan_and_does_neither(workspace: Workspace) -> None:
    before = text(workspace)
    shown = dry(workspace)
    assert shown.returncode == 0
    assert "-    current_version: v1\n+    current_version: v2\n" in shown.stdout
    assert "a@v2/model.gguf  (not in the store" in shown.stdout
    document = json.loads(dry(workspace, "--format", "json").stdout)
    assert document["edits"][0]["file"].endswith("spec/models.yaml")
    assert document["has_changes"] is True
    assert text(workspace) == before
    assert not (workspace.store / "blobs").exists()


def detached_head(workspace: Workspace) -> None:
    workspace.git("checkout", "--quiet", "--detach")


def rebase(workspace: Workspace) -> None:
    (workspace.root / ".git" / "rebase-merge").mkdir()


def merge(workspace: Workspace) -> None:
    (workspace.root / ".git" / "MERGE_HEAD").write_text(workspace.git("rev-parse", "HEAD"))


def edit_not_committed(workspace: Workspace) -> None:
    workspace.edit("a", "context_tokens: 512", "context_tokens: 600", commit=False)


def edit_staged(workspace: Workspace) -> None:
    edit_not_committed(workspace)
    workspace.git("add", "spec/models.yaml")


def nobody(workspace: Workspace) -> None:
    workspace.git("config", "user.name", "")


def not_tracked(workspace: Workspace) -> None:
    workspace.git("rm", "--quiet", "--cached", "spec/models.yaml")
    workspace.git("-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--message", "out")


def not_in_git(workspace: Workspace) -> None:
    (workspace.root / ".git").rename(workspace.root / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (detached_head, "detached HEAD"),
        (rebase, "a rebase is under way"),
        (merge, "a merge is under way"),
        (edit_not_committed, "spec/models.yaml has changes that are not committed"),
        (edit_staged, "spec/models.yaml has changes that are not committed"),
        (nobody, "Git does not know who you are"),
        (not_tracked, "is not tracked by Git"),
        (not_in_git, "is not in Git"),
    ],
)
def test_what_stands_in_the_way_of_a_commit_is_said_before_anything_happens(
    workspace: Workspace, spoil: Callable[[Workspace], None], reason: str
) -> None:
    spoil(workspace)
    before = text(workspace)
    refused = dry(workspace, "--commit")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert reason in refused.stderr
    assert "hint: " in refused.stderr
    assert dry(workspace).returncode == 0, "it matters only where a commit is asked for"
    assert text(workspace) == before


def test_other_files_may_be_as_they_are(workspace: Workspace) -> None:
    (workspace.root / "notes.txt").write_text("unfinished")
    (workspace.spec / "more.yaml").write_text("personas: []\n")
    workspace.git("add", "notes.txt")
    assert dry(workspace, "--commit").returncode == 0


def test_without_a_yes_nothing_happens(workspace: Workspace) -> None:
    before = text(workspace)
    asked = workspace.run("promote", "a", "--to", "v2")
    assert asked.returncode == 3
    assert "nothing was applied" in asked.stderr
    assert text(workspace) == before


def test_refusals_have_their_exit_codes(workspace: Workspace) -> None:
    assert workspace.run("promote", "a").returncode == 2
    assert workspace.run("promote", "b", "--to", "v1", "--yes").returncode == 2
    assert workspace.run("promote", "a", "--to", "v9", "--yes").returncode == 2
    nothing_before = workspace.run("rollback", "a", "--yes")
    assert nothing_before.returncode == 3
    assert "served no other version before v1" in nothing_before.stderr
    workspace.edit("a", "current_version: v1", "current_version: v7", commit=False)
    assert workspace.run("promote", "a", "--to", "v2", "--yes").returncode == 1


def test_a_pin_is_written_holds_and_is_taken_away(workspace: Workspace) -> None:
    before = text(workspace)
    pinned = workspace.json("pin", "a", "--commit")
    assert pinned["pinned"] == "v1"
    assert pinned["commit"] == workspace.git("rev-parse", "HEAD")
    assert workspace.git("log", "-1", "--format=%an: %s") == "Ada: Pin a to v1"
    for command in (("promote", "a", "--to", "v2"), ("rollback", "a", "--to", "v2")):
        refused = workspace.run(*command, "--yes")
        assert refused.returncode == 3
        assert "`a` is pinned to v1" in refused.stderr
        assert "modelctl unpin a" in refused.stderr
    assert workspace.json("pin", "a", "v1")["files"] == []
    assert workspace.json("unpin", "a")["pinned"] is None
    assert "a: v1" not in text(workspace)
    assert text(workspace).startswith(before.rstrip("\n"))
    assert workspace.ok("unpin", "a") == "a is not pinned\n"


def test_a_pin_that_makes_the_spec_invalid_can_be_taken_away(workspace: Workspace) -> None:
    path = workspace.spec / "models.yaml"
    path.write_text(path.read_text() + "pins: {a: v2}\n")
    assert workspace.run("validate").returncode == 1
    workspace.ok("unpin", "a")
    workspace.ok("validate")


def test_history_of_a_machine_where_nothing_was_applied(workspace: Workspace) -> None:
    assert workspace.json("history") == {"format_version": 1, "generations": []}
    assert workspace.json("history", "a")["generations"] == []
    mistyped = workspace.run("history", "aa")
    assert mistyped.returncode == 2
    assert "did you mean `a`" in mistyped.stderr


def test_a_spec_folder_behind_a_link_is_committed_where_it_really_is(workspace: Workspace) -> None:
    link = workspace.root / "files" / "linked"
    link.symlink_to(workspace.spec)
    said = workspace.run("pin", "a", "--commit", "--spec", str(link))
    assert said.returncode == 0, said.stderr
    assert workspace.git("log", "-1", "--format=%s", "--name-only").split("\n\n") == [
        "Pin a to v1",
        "spec/models.yaml",
    ]
