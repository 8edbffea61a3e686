"""One box per supervisor that runs here."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pm2 import pm2_bin
from tests.support.supervisors import Box, pm2_box, supervisord_box, systemd_box
from tests.support.systemd import PrivateManager, private_manager


@pytest.fixture(scope="session")
def manager() -> Iterator[PrivateManager]:
    with private_manager() as manager:
        yield manager


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """UNIX sockets fit into its path. Secrets of the caller stand in the environment."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("LLAMA_SERVER_ROUTER_PORT", "1")
    folder = Path(tempfile.mkdtemp(prefix="mct"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def supervisord(short_folder: Path) -> Iterator[Box]:
    yield from supervisord_box(short_folder)


@pytest.fixture
def systemd(short_folder: Path, manager: PrivateManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    for key, value in manager.environment.items():
        monkeypatch.setenv(key, value)
    yield from systemd_box(short_folder)


@pytest.fixture
def pm2(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setenv("PATH", f"{pm2_bin()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PM2_HOME", str(short_folder / "home"))
    yield from pm2_box(short_folder)


@pytest.fixture(params=["supervisord", "systemd", "pm2"])
def box(request: pytest.FixtureRequest) -> Box:
    """Each supervisor that can run here."""
    box: Box = request.getfixturevalue(request.param)
    return box
