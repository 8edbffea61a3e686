"""A watcher of a workspace, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL, Workspace


@dataclass
class Watching:
    """A running `modelctl watch`."""

    workspace: Workspace
    process: subprocess.Popen[str]

    def wait_for(self, kind: str, *, count: int = 1, containing: str = "", seconds: float = 30) -> None:
        """Until so many events of a type (whose message holds a text) are there, since the beginning."""

        def there() -> bool:
            return (
                sum(e["type"] == kind and containing in e["message"] for e in events(self.workspace)) >= count
            )

        try:
            wait_until(there, seconds, f"{count} times {kind} {containing!r}")
        except AssertionError as error:
            told = "\n".join(f"{e['type']} {e['resource']}: {e['message']}" for e in events(self.workspace))
            raise AssertionError(f"{error}\nevents:\n{told}") from None

    def kill(self) -> None:
        """As a crash would: nothing is ended in order."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def watching(workspace: Workspace, *arguments: str, **environment: str) -> Iterator[Watching]:
    """`modelctl watch`, until the end of the block."""
    workspace.root.joinpath("watch.log").touch()
    with workspace.root.joinpath("watch.log").open("a") as log:
        process = subprocess.Popen(
            (*MODELCTL, "watch", *arguments),
            cwd=workspace.root,
            env={**workspace.env(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        yield Watching(workspace, process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def stop_by_hand(workspace: Workspace, unit: str) -> None:
    """As a person would, with supervisord's own tool."""
    configuration = workspace.store / "state" / "supervisord" / "supervisord.conf"
    subprocess.run(
        (sys.executable, "-m", "supervisor.supervisorctl", "-c", configuration, "stop", unit),
        check=True,
        capture_output=True,
        timeout=60,
    )


def events(workspace: Workspace) -> list[dict[str, Any]]:
    """Everything that happened, oldest first."""
    said = workspace.ok("events", "--last", "1000", "--format", "json")
    return [json.loads(line) for line in said.splitlines()]


def reasons(workspace: Workspace) -> set[str]:
    """Reasons of the conditions that `status` shows."""
    return {condition["reason"] for condition in workspace.json("status")["conditions"]}
