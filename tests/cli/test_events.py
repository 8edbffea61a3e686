"""`modelctl events` as people and programs read it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.core.events import EventType
from reconciler.host.records import Records
from reconciler.host.state import State
from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL, Workspace


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with TemporaryDirectory(prefix="mctl-") as folder:
        made = Workspace(Path(folder))
        made.add("a")
        made.write()
        yield made


def happen(workspace: Workspace, *messages: str) -> None:
    with State.open(workspace.store / "state" / "modelctl.db", create=True) as state:
        for message in messages:
            Records(state).write(EventType.BLOCKED, "watch", message)


@contextmanager
def following(workspace: Workspace, out: Path, *options: str) -> Iterator[None]:
    with (
        out.open("w") as file,
        subprocess.Popen(
            (*MODELCTL, "events", "-f", "--format", "json", *options),
            cwd=workspace.root,
            env=workspace.env(),
            stdout=file,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def told(out: Path) -> list[str]:
    return [json.loads(line)["message"] for line in out.read_text().splitlines()]


def test_the_last_are_shown_by_type(workspace: Workspace) -> None:
    happen(workspace, "one", "two", "three")
    lines = workspace.ok("events", "-n", "2").splitlines()
    assert [line.rsplit("  ", 1)[1] for line in lines] == ["two", "three"]
    assert workspace.ok("events", "--type", "resumed") == ""


def test_following_goes_on_with_a_database_that_took_the_place_of_another(workspace: Workspace) -> None:
    out = workspace.root / "files" / "out"
    happen(workspace, "before", "last")
    with following(workspace, out, "-n", "1"):
        wait_until(lambda: told(out) == ["last"], what="the last event")
        happen(workspace, "next")
        wait_until(lambda: told(out) == ["last", "next"], what="the next event")
        for path in (workspace.store / "state").glob("modelctl.db*"):
            path.unlink()
        happen(workspace, "of another")
        wait_until(lambda: told(out)[2:] == ["of another"], what="the event of the new database")
