"""docs/versions.md: every command that it shows works in the order in which it is shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.staging import staged
from tests.support.workspace import Workspace, chat

PAGE = (Path(__file__).parents[2] / "docs" / "versions.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """`a` serves v1 of v1 and v2."""
    with staged("supervisord") as stage:
        made = stage.workspace
        made.add("a").files["v2"] = made.gguf("a-v2", "I am a, version 2.")
        made.up()
        made.git("config", "user.name", "Ada")
        made.git("config", "user.email", "ada@localhost")
        made.git("config", "commit.gpgsign", "false")
        yield made


@pytest.mark.slow
def test_every_command_shown_works_as_shown(workspace: Workspace) -> None:
    assert len(COMMANDS) == 9
    served = []
    for command in COMMANDS:
        yes = ["--yes"] if command[0] in {"promote", "rollback"} and "--dry-run" not in command else []
        workspace.ok(*command, *yes)
        served.append(chat(workspace.models[0].port)[-2])
    assert served == ["1", "1", "2", "2", "1", "1", "1", "1", "1"]
    assert workspace.git("log", "--format=%s").splitlines()[:2] == ["Roll back a to v1", "Promote a to v2"]
    assert workspace.json("plan")["has_changes"] is False


@pytest.mark.slow
def test_what_the_page_says_of_refusals_and_exit_codes_holds(workspace: Workspace) -> None:
    workspace.ok("pin", "a", "--commit")
    assert workspace.run("promote", "a", "--to", "v2", "--yes").returncode == 3
    assert workspace.run("rollback", "a", "--to", "v2", "--yes").returncode == 3
    workspace.ok("unpin", "a", "--commit")
    assert workspace.run("promote", "a", "--to", "v9", "--yes").returncode == 2
    workspace.models[0].files["v2"].unlink()
    before = (workspace.spec / "models.yaml").read_text()
    assert workspace.run("promote", "a", "--to", "v2", "--yes").returncode == 1
    assert (workspace.spec / "models.yaml").read_text() == before
    assert workspace.run("rollback", "a", "--yes").returncode == 3
    assert chat(workspace.models[0].port) == "I am a, version 1."
