"""Workspaces that are gone with their test, and everything that ran in them."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from tests.support.workspace import Workspace


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """On the embedded supervisord, and not below the folder of pytest: socket paths must be short."""
    with TemporaryDirectory(prefix="mctl-", ignore_cleanup_errors=True) as folder:
        made = Workspace(Path(folder))
        try:
            yield made
        finally:
            SupervisordSupervisor(made.store / "state" / "supervisord").shut_down()
