"""Killed or failing at any system call: the old state or the new one, and the next run converges."""

import os
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.core.types import ModelId, VersionId
from reconciler.host.artifacts.fetch import Fetcher
from reconciler.host.artifacts.network import network_from
from reconciler.host.artifacts.store import Store
from tests.faults.artifacts.conftest import Run, assert_whole, command, environment
from tests.support import hostile
from tests.support.artifacts import FILE, REPO, URL, fetch, fetcher, sha256_of, some_bytes
from tests.support.hub import Hub
from tests.support.waiting import wait_until

CHANGING = (
    "pwrite64,copy_file_range,fsync,fdatasync,ftruncate,fchmod,write,"
    "mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir"
)
OLD, NEW = some_bytes(50_000, seed=1), some_bytes(60_000, seed=2)

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="apt install strace")


@dataclass(frozen=True, slots=True)
class Point:
    """The n-th use of a system call; strace counts each by itself."""

    call: str
    number: int


def strace(log: str | Path = os.devnull) -> tuple[str, ...]:
    return ("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={CHANGING}")


def inject(point: Point, what: str) -> tuple[str, ...]:
    return (*strace(), "-e", f"inject={point.call}:{what}:when={point.number}")


class Scene:
    """A file to fetch, and stores that begin empty or with an older file under the same version."""

    def __init__(self, folder: Path, run: Run, *, replaces: bool) -> None:
        self.folder = folder
        self.run = run
        self.replaces = replaces
        self.allowed = {sha256_of(NEW), sha256_of(OLD)} if replaces else {sha256_of(NEW)}
        (folder / "old.gguf").write_bytes(OLD)
        (folder / "new.gguf").write_bytes(NEW)
        self.url = f"file://{folder}/new.gguf"
        self.template = folder / "template"
        if replaces:
            assert run(self.template, f"file://{folder}/old.gguf").returncode == 0

    def store(self, name: object) -> Path:
        path = self.folder / f"store-{name}"
        if self.replaces:
            shutil.copytree(self.template, path)
        return path

    def points(self) -> list[Point]:
        """Every system call of an undisturbed run that changes something."""
        log = self.folder / "calls"
        assert self.run(self.store("undisturbed"), self.url, tracer=strace(log)).returncode == 0
        calls = [line.split()[1].partition("(") for line in log.read_text().splitlines()]
        counts: Counter[str] = Counter()
        points = []
        for call, _, arguments in calls:
            counts[call] += 1
            if (call, arguments) != ("write", "1,"):  # the process's last words
                points.append(Point(call, counts[call]))
        assert len(points) > 20, "fewer system calls than a commit can have"
        return points

    def assert_safe(self, store: Path, when: str) -> None:
        assert_whole(store, allowed=self.allowed)
        if self.replaces:
            assert (store / "models" / "m" / "v").is_dir(), f"the version was lost {when}"

    def assert_converges(self, store: Path) -> None:
        by = Fetcher(Store(store), network_from({"HF_HUB_OFFLINE": "1"}))
        fetched = fetch(by, self.url)
        by.store.link(ModelId("m"), VersionId("v"), {"model.gguf": fetched.sha256}, {})
        assert_whole(store, allowed={sha256_of(NEW)})
        assert not list((store / "partial").iterdir())
        assert {path.name for path in (store / "models" / "m").iterdir()} == {"v"}


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("replaces", [False, True], ids=["new version", "replaced version"])
def test_killed_at_every_system_call(tmp_path: Path, run_fetch: Run, replaces: bool) -> None:
    scene = Scene(tmp_path, run_fetch, replaces=replaces)
    for index, point in enumerate(scene.points()):
        store = scene.store(index)
        done = run_fetch(store, scene.url, tracer=inject(point, "signal=KILL"))
        assert done.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, f"not killed at {point}"
        scene.assert_safe(store, f"at {point}")
        scene.assert_converges(store)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE", "EINTR"])
def test_an_error_of_any_system_call_is_worded_and_leaves_what_was(
    tmp_path: Path, run_fetch: Run, error: str
) -> None:
    scene = Scene(tmp_path, run_fetch, replaces=True)
    for index, point in enumerate(scene.points()):
        store = scene.store(index)
        done = run_fetch(store, scene.url, tracer=inject(point, f"error={error}"))
        where = f"{error} at {point}: {done.stdout}{done.stderr}"
        assert not done.stderr, where
        assert done.returncode in {0, 1}, where
        assert done.returncode == 0 or done.stdout.startswith("StoreError: "), where
        scene.assert_safe(store, where)
        scene.assert_converges(store)


def test_a_killed_download_goes_on_where_it_was(tmp_path: Path) -> None:
    content = some_bytes(8_000_000)
    with Hub(intercept=hostile.slow(500_000)) as hub:
        hub.add(REPO, FILE, content)
        with subprocess.Popen(command(tmp_path, URL, hub.endpoint), env=environment()) as process:
            wait_until(lambda: list(tmp_path.glob("partial/*.json")), what="a saved state of the download")
            process.kill()
        assert not list(tmp_path.glob("blobs/*"))
        hub.intercept = None
        wait_until(lambda: not hub.busy, what="the end of the killed process's requests")
        hub.sent = 0
        assert fetch(fetcher(tmp_path, hub)).sha256 == sha256_of(content)
        assert hub.sent < len(content) * 0.8
