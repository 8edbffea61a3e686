"""`modelctl demo`: the main job ends well, leaves nothing behind, and touches nothing of the user's."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: UNIX sockets lie below it."""
    with TemporaryDirectory(prefix="md-") as name:
        yield Path(name)


def test_once_it_ends_by_itself_and_cleans_up(folder: Path) -> None:
    environment = {**os.environ, "HOME": str(folder / "home"), "TMPDIR": str(folder)}
    done = subprocess.run(
        (*MODELCTL, "demo", "--once"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "I am tiny-ada" in done.stdout
    assert done.stdout.count("nothing to do") == 1
    assert list(folder.iterdir()) == []


def test_it_stays_up_until_interrupted(folder: Path) -> None:
    with subprocess.Popen(
        (*MODELCTL, "demo", "--folder", str(folder / "d")), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = ""
        while "Who are you?\"}]}'" not in told:
            line = process.stdout.readline()
            assert line, told
            told += line
        [port] = set(re.findall(r"curl http://127.0.0.1:(\d+)/", told))
        listening = ("curl", "--silent", "--fail", f"http://127.0.0.1:{port}/health")
        assert subprocess.run(listening, capture_output=True, check=False).returncode == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    wait_until(lambda: subprocess.run(listening, capture_output=True, check=False).returncode != 0)
