"""gc as a person types it, on a store of tiny files and without servers."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.workspace import MODELCTL, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four versions of `a` in the store; `v2` and `v4` have the same bytes, and `v1` is served."""
    made = Workspace(tmp_path)
    model = made.add("a")
    model.files |= {f"v{number}": made.gguf(f"a-v{number}", f"I am {number % 2}.") for number in (2, 3, 4)}
    made.write()
    made.ok("pull", "a@v1", "a@v2", "a@v3", "a@v4")
    return made


def stored(workspace: Workspace) -> set[str]:
    """Versions and blobs, the blobs by how many names they have."""
    versions = {path.name for path in (workspace.store / "models" / "a").iterdir()}
    return versions | {
        f"blob of {path.stat().st_nlink - 1}" for path in (workspace.store / "blobs").iterdir()
    }


def test_it_shows_first_and_removes_on_a_yes(workspace: Workspace) -> None:
    before = stored(workspace)
    shown = workspace.json("gc", "--keep", "1")
    assert shown["removed"] is False
    assert {item["name"] for item in shown["items"] if item["kind"] == "version"} == {"a@v2", "a@v3"}
    assert stored(workspace) == before
    assert "modelctl gc --yes" in workspace.ok("gc", "--keep", "1")
    free = disk_usage(workspace)
    removed = workspace.json("gc", "--keep", "1", "--yes")
    assert removed["items"] == shown["items"]
    assert free - disk_usage(workspace) == removed["size_bytes"] > 0
    assert stored(workspace) == {"v1", "v4", "blob of 1"}
    assert workspace.ok("gc", "--keep", "1") == "nothing to remove\n"
    workspace.ok("pull", "a@v3")
    assert "v3" in stored(workspace)


def disk_usage(workspace: Workspace) -> int:
    """Bytes of artifacts, each file once."""
    files = [path for name in ("blobs", "models") for path in (workspace.store / name).rglob("*")]
    sizes = {path.stat().st_ino: path.stat().st_size for path in files if path.is_file()}
    return sum(sizes.values())


def test_a_pinned_version_survives(workspace: Workspace) -> None:
    workspace.ok("pin", "a")
    workspace.ok("gc", "--keep", "1", "--yes")
    assert stored(workspace) == {"v1", "v4", "blob of 1"}


def test_what_a_process_has_open_survives(workspace: Workspace) -> None:
    path = workspace.store / "models" / "a" / "v3" / "model.gguf"
    script = (
        "import mmap, sys; f = open(sys.stdin.readline().strip(), 'rb')\n"
        "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); f.close(); print('mapped', flush=True)\n"
        "sys.stdin.readline()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdin.write(f"{path}\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "mapped\n"
        found = workspace.json("gc", "--keep", "1", "--yes")
        holder.stdin.write("\n")
        holder.stdin.flush()
    reasons = {one["name"]: one["reason"] for one in found["kept"]}
    assert reasons["a@v3"] == f"process {holder.pid} has it open"
    assert path.exists()
    workspace.ok("gc", "--keep", "1", "--yes")
    assert not path.exists()


def test_an_edit_that_is_not_committed_costs_nothing_of_what_is(workspace: Workspace) -> None:
    workspace.edit("a", "current_version: v1", "current_version: v4", commit=False)
    workspace.ok("gc", "--keep", "1", "--yes")
    assert "v1" in stored(workspace)


def test_a_spec_that_is_broken_or_empty_costs_nothing(workspace: Workspace) -> None:
    before = stored(workspace)
    path = workspace.spec / "models.yaml"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert workspace.run("gc", "--keep", "1", "--yes").returncode == 1
    path.write_text("models: []\n")
    workspace.commit("everything is dropped")
    refused = workspace.run("gc", "--keep", "1", "--yes")
    assert refused.returncode == 3
    assert "no models at all" in refused.stderr
    assert stored(workspace) == before


def test_what_the_store_did_not_name_is_never_touched(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (workspace.store / "models" / "a" / "v0").symlink_to(outside)
    (workspace.store / "models" / "linked").symlink_to(outside)
    (workspace.store / "blobs" / "README").write_text("mine")
    os.utime(workspace.store / "blobs" / "README", (1, 1))
    workspace.ok("gc", "--keep", "1", "--yes")
    assert (outside / "file").read_text() == "mine"
    assert (workspace.store / "models" / "a" / "v0").is_symlink()
    assert (workspace.store / "blobs" / "README").exists()


def test_a_download_that_goes_on_stays_and_one_that_broke_off_goes(workspace: Workspace) -> None:
    import fcntl  # noqa: PLC0415 - only here

    folder = workspace.store / "partial"
    folder.mkdir(exist_ok=True)
    for name in ("old.part", "old.json", "busy.part", "new.part"):
        (folder / name).write_bytes(b"{}")
        if not name.startswith("new"):
            os.utime(folder / name, (1, 1))
    with (folder / "busy.part").open("r+b") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        workspace.ok("gc", "--yes")
    assert {path.name for path in folder.iterdir()} == {"busy.part", "new.part"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="apt install strace")
def test_killed_at_every_removal_it_loses_nothing_that_is_needed(
    workspace: Workspace, tmp_path: Path
) -> None:
    template = workspace.store.rename(tmp_path / "template")
    log = tmp_path / "calls"
    calls = "rename,renameat,renameat2,unlink,unlinkat,rmdir"
    strace = ("strace", "-f", "-qq", "-e", "signal=none", "-o", log, "-e", f"trace={calls}")

    def gc(*tracing: str) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(workspace.store, ignore_errors=True)
        # `cp -a` keeps hard links as they are.
        subprocess.run(("cp", "-a", template, workspace.store), check=True)
        return subprocess.run(
            (*strace, *tracing, *MODELCTL, "gc", "--keep", "1", "--yes"),
            cwd=workspace.root,
            env=workspace.env(),
            capture_output=True,
            text=True,
            check=False,
        )

    whole = gc()
    assert whole.returncode == 0, whole.stderr
    lines = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    own: Counter[str] = Counter()
    points = []
    for pid, line in lines:
        call, is_call, _ = line.partition("(")
        if is_call and pid == lines[-1][0]:  # not those of git; strace counts each process by itself
            own[call] += 1
            points.append((call, own[call]))
    assert len(points) > 10, points
    for call, number in points:
        killed = gc("-e", f"inject={call}:signal=KILL:when={number}")
        assert killed.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, (call, number)
        versions = {path.name for path in (workspace.store / "models" / "a").iterdir() if path.name[0] != "."}
        for version in versions:
            names = {path.name for path in (workspace.store / "models" / "a" / version).iterdir()}
            assert names == {"model.gguf", "metadata.json", "sha256sum"}, (
                f"half of {version} at {call} {number}"
            )
        assert {"v1", "v4"} <= versions
        workspace.ok("gc", "--keep", "1", "--yes")
        workspace.ok("verify", "a@v1", "a@v4")
        assert "v3" not in {path.name for path in (workspace.store / "models" / "a").iterdir()}
