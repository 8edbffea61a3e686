"""Workspaces that are gone with their test, and everything that ran in them."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from tests.support.pm2 import pm2_bin
from tests.support.systemd import PrivateManager, private_manager
from tests.support.workspace import Workspace

OpenWorkspace = Callable[[str], Workspace]


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """On the embedded supervisord, and not below the folder of pytest: socket paths must be short."""
    with _on_supervisord() as made:
        yield made


@pytest.fixture(scope="session")
def manager() -> Iterator[PrivateManager]:
    """A systemd user manager of the tests' own."""
    with private_manager() as manager:
        yield manager


@pytest.fixture
def open_workspace(request: pytest.FixtureRequest) -> Iterator[OpenWorkspace]:
    """Opens a workspace on the supervisor of the given name."""
    with ExitStack() as opened:

        def open_on(supervisor: str) -> Workspace:
            match supervisor:
                case "systemd-user":
                    return opened.enter_context(_on_systemd(request.getfixturevalue("manager")))
                case "pm2":
                    return opened.enter_context(_on_pm2())
                case _:
                    return opened.enter_context(_on_supervisord())

        yield open_on


@contextmanager
def _folder(supervisor: str) -> Iterator[Workspace]:
    with TemporaryDirectory(prefix="mctl-", ignore_cleanup_errors=True) as folder:
        yield Workspace(Path(folder), supervisor=supervisor)


@contextmanager
def _on_supervisord() -> Iterator[Workspace]:
    with _folder("supervisord") as made:
        try:
            yield made
        finally:
            SupervisordSupervisor(made.store / "state" / "supervisord").shut_down()


@contextmanager
def _on_systemd(manager: PrivateManager) -> Iterator[Workspace]:
    with _folder("systemd-user") as made:
        made.environment.update(manager.environment)
        try:
            yield made
        finally:
            _systemctl(made, "stop", "llama@*")
            for unit in manager.unit_directory.glob("llama@*"):
                _systemctl(made, "disable", unit.name)
                unit.unlink(missing_ok=True)
            _systemctl(made, "daemon-reload")
            _systemctl(made, "reset-failed")


def _systemctl(workspace: Workspace, *arguments: str) -> None:
    subprocess.run(("systemctl", "--user", *arguments), env=workspace.env(), capture_output=True, check=False)


@contextmanager
def _on_pm2() -> Iterator[Workspace]:
    with _folder("pm2") as made:
        made.environment["PATH"] = f"{pm2_bin()}{os.pathsep}{os.environ['PATH']}"
        made.environment["PM2_HOME"] = str(made.root / "pm2")
        try:
            yield made
        finally:
            subprocess.run(("pm2", "kill"), env=made.env(), capture_output=True, check=False)
