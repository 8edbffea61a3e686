"""Workspaces that are gone with their test, and everything that ran in them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.staging import Stage, staged
from tests.support.systemd import PrivateManager, private_manager
from tests.support.workspace import Workspace

OpenWorkspace = Callable[[str], Workspace]


@pytest.fixture(scope="session")
def manager() -> Iterator[PrivateManager]:
    """A systemd user manager of the tests' own."""
    with private_manager() as found:
        yield found


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """On the embedded supervisord."""
    with staged("supervisord") as made:
        yield made.workspace


@pytest.fixture(params=["supervisord", "systemd-user"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each test once per supervisor."""
    manager = request.getfixturevalue("manager") if request.param == "systemd-user" else None
    with staged(request.param, manager) as made:
        yield made


@pytest.fixture
def open_workspace(request: pytest.FixtureRequest) -> Iterator[OpenWorkspace]:
    """Opens a workspace on the supervisor of the given name."""
    with ExitStack() as opened:

        def open_on(supervisor: str) -> Workspace:
            manager = request.getfixturevalue("manager") if supervisor == "systemd-user" else None
            return opened.enter_context(staged(supervisor, manager)).workspace

        yield open_on
