"""`modelctl pull` and `verify` as a person runs them, against a hub on loopback."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.types import Sha256
from reconciler.demo.tiny_model import tiny_model
from tests.support import hostile
from tests.support.artifacts import REPO, sha256_of, some_bytes
from tests.support.hub import Hub
from tests.support.staging import staged
from tests.support.waiting import wait_until
from tests.support.workspace import MODELCTL, Workspace

GGUF = tiny_model("hello")
MMPROJ = tiny_model("picture")

SPEC = """\
# The models of this machine.
models:
  - id: one  # the first
    current_version: v1
    versions:
      - version_id: v1
        gguf_url: hf://org/repo/model.gguf  # keep this comment
        mmproj: {url: hf://org/repo/mmproj.gguf}
    profiles: {cpu_only: {port: 8601}}
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add(REPO, "model.gguf", GGUF)
        hub.add(REPO, "mmproj.gguf", MMPROJ)
        yield hub


@pytest.fixture
def workspace(tmp_path: Path, hub: Hub) -> Workspace:
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    made = Workspace(tmp_path, environment=environment)
    made.spec.mkdir()
    write(made, SPEC)
    return made


def write(workspace: Workspace, text: str) -> None:
    (workspace.spec / "models.yaml").write_text(text)


def read(workspace: Workspace) -> str:
    return (workspace.spec / "models.yaml").read_text()


def blob(workspace: Workspace, sha256: Sha256) -> Path:
    return workspace.store / "blobs" / f"sha256-{sha256}"


def test_pull_fills_the_spec_in_and_keeps_its_comments(workspace: Workspace, hub: Hub) -> None:
    done = workspace.run("pull")
    assert done.returncode == 0, done.stderr
    assert "one    v1" in done.stdout
    assert "pulled" in done.stdout
    assert "commit that" in done.stderr
    revision = hub.tips[REPO]
    assert read(workspace) == SPEC.replace(
        "# keep this comment\n",
        f"# keep this comment\n        revision: {revision}\n        sha256: {sha256_of(GGUF)}\n",
    ).replace("mmproj.gguf}", f"mmproj.gguf, revision: {revision}, sha256: {sha256_of(MMPROJ)}}}")
    folder = workspace.store / "models" / "one" / "v1"
    assert (folder / "model.gguf").read_bytes() == GGUF
    assert (folder / "mmproj.gguf").read_bytes() == MMPROJ


def test_a_second_pull_asks_nobody_and_writes_nothing(workspace: Workspace, hub: Hub) -> None:
    workspace.ok("pull")
    before = read(workspace), len(hub.requests)
    assert "in place" in workspace.ok("pull")
    assert (read(workspace), len(hub.requests)) == before


def test_pull_as_json(workspace: Workspace, hub: Hub) -> None:
    document = workspace.json("pull")
    assert document["format_version"] == 1
    assert document["spec_files_changed"] == [str(workspace.spec / "models.yaml")]
    (version,) = document["versions"]
    assert (version["model"], version["version"], version["status"]) == ("one", "v1", "pulled")
    assert version["size_bytes"] == len(GGUF) + len(MMPROJ)
    assert [file["sha256"] for file in version["files"]] == [sha256_of(GGUF), sha256_of(MMPROJ)]
    assert version["errors"] == []


def test_all_shards_of_a_split_model_are_pulled_by_the_name_of_the_first(
    workspace: Workspace, hub: Hub, shards: tuple[bytes, bytes]
) -> None:
    for number, shard in enumerate(shards, 1):
        hub.add(REPO, f"Q8/big-0000{number}-of-00002.gguf", shard)
    write(workspace, SPEC.replace("repo/model.gguf", "repo/Q8/big-00001-of-00002.gguf"))
    workspace.ok("pull")
    hashes = [sha256_of(shard) for shard in shards]
    folder = workspace.store / "models" / "one" / "v1"
    assert [sha256_of((folder / f"model-0000{n}-of-00002.gguf").read_bytes()) for n in (1, 2)] == hashes
    assert all(sha256 in read(workspace) for sha256 in hashes)
    assert "in place" in workspace.ok("pull")


@pytest.fixture
def shards(tmp_path: Path) -> tuple[bytes, bytes]:
    """A model that llama.cpp would load: two files that say that they belong together."""
    from gguf import GGUFWriter  # noqa: PLC0415 - a test dependency, slow to import
    from numpy import zeros  # noqa: PLC0415

    made = []
    for number in range(2):
        path = tmp_path / f"shard-{number}"
        writer = GGUFWriter(path, "llama")
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", 2)
        writer.add_tensor(f"blk.{number}.weight", zeros((4, 32), dtype="float32"))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        made.append(path.read_bytes())
    return made[0], made[1]


def test_an_unknown_hash_is_taken_on_trust_and_that_is_said(workspace: Workspace) -> None:
    path = workspace.gguf("mine", "hello")
    write(workspace, SPEC.replace("hf://org/repo/model.gguf", f"file://{path}"))
    done = workspace.run("pull")
    assert done.returncode == 0
    assert f"the spec had no sha256, so what arrived was taken: {sha256_of(path.read_bytes())}" in done.stderr


def test_one_model_that_fails_does_not_hold_up_the_others(workspace: Workspace) -> None:
    other = SPEC.partition("models:\n")[2].replace("id: one", "id: two").replace("model.gguf", "gone.gguf")
    write(workspace, SPEC.replace("models:\n", f"models:\n{other}").replace("8601", "8602", 1))
    done = workspace.run("pull")
    assert done.returncode == 1
    assert "error: hf://org/repo/gone.gguf: there is no such file in org/repo" in done.stderr
    assert "hint: see " in done.stderr
    assert (workspace.store / "models" / "one" / "v1" / "model.gguf").exists()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "hint"), [("onne", "did you mean `one`?"), ("one@v2", "versions there: v1")]
)
def test_a_mistyped_name_is_bad_usage(workspace: Workspace, name: str, hint: str) -> None:
    for command in ("pull", "verify"):
        done = workspace.run(command, name)
        assert done.returncode == 2
        assert hint in done.stderr


def test_a_hub_that_lies_about_the_hash_changes_nothing(workspace: Workspace, hub: Hub) -> None:
    workspace.ok("pull")
    hub.add(REPO, "new.gguf", some_bytes(1000))
    write(workspace, SPEC.replace("repo/model.gguf", "repo/new.gguf"))
    hub.intercept = hostile.other_bytes
    done = workspace.run("pull")
    assert done.returncode == 1
    assert f"expected was {sha256_of(some_bytes(1000))}; it was thrown away" in done.stderr
    assert read(workspace) == SPEC.replace("repo/model.gguf", "repo/new.gguf")
    assert (workspace.store / "models" / "one" / "v1" / "model.gguf").read_bytes() == GGUF


def test_offline_pulls_say_so(workspace: Workspace) -> None:
    workspace.environment["HF_HUB_OFFLINE"] = "1"
    done = workspace.run("pull")
    assert done.returncode == 1
    assert "the network may not be used" in done.stderr


@pytest.mark.slow
def test_a_plain_log_gets_a_line_every_few_seconds(workspace: Workspace, hub: Hub) -> None:
    hub.intercept = hostile.first(1, hostile.slow(80_000))
    hub.add(REPO, "model.gguf", GGUF + bytes(40_000))
    done = workspace.run("pull")
    lines = [line for line in done.stderr.splitlines() if line.startswith("one@v1/model.gguf: ")]
    assert 1 <= len(lines) <= 2
    assert " KiB/s, " in lines[0]
    assert lines[0].endswith(" left")
    assert "\x1b" not in done.stderr


def test_a_terminal_gets_a_bar_with_rate_and_time_left(workspace: Workspace, hub: Hub) -> None:
    hub.intercept = hostile.first(1, hostile.slow(300_000))
    shown = on_terminal(workspace, "pull")
    assert "one@v1/model.gguf" in shown
    assert "B/s" in shown
    assert "0:00:0" in shown


@pytest.mark.slow
def test_an_apply_shows_its_downloads_as_pull_does(hub: Hub) -> None:
    with staged("supervisord") as stage:
        made = stage.workspace
        made.environment |= {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": "",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        }
        made.spec.mkdir()
        settings = "settings: {supervisor: supervisord, engine: embedded}\n"
        revision = hub.tips[REPO]
        resolved = f"revision: {revision}\n        sha256: {sha256_of(GGUF)}"
        write(made, settings + SPEC.replace("mmproj: {url: hf://org/repo/mmproj.gguf}", resolved))
        hub.intercept = hostile.slow(100_000)
        shown = on_terminal(made, "apply", "--yes")
    assert "one@v1/model.gguf" in shown
    assert "B/s" in shown
    assert "✓" in shown.partition("B/s")[2]


def on_terminal(workspace: Workspace, *arguments: str) -> str:
    """Everything that modelctl shows on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        (*MODELCTL, *arguments),
        cwd=workspace.root,
        env=workspace.env() | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the other side is gone
            pass
        finally:
            os.close(ours)
    return shown.decode()


def test_ctrl_c_ends_at_once_and_the_next_pull_goes_on(workspace: Workspace, hub: Hub) -> None:
    hub.intercept = hostile.slow(100_000)
    with subprocess.Popen(
        (*MODELCTL, "pull"), cwd=workspace.root, env=workspace.env(), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: hub.sent > 150_000, what="some of the download")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in errors
    hub.intercept, before = None, hub.sent
    workspace.ok("pull")
    assert hub.sent - before < len(GGUF) + len(MMPROJ) - 100_000


def test_verify_names_what_is_corrupt_and_how_to_mend_it(workspace: Workspace) -> None:
    workspace.ok("pull")
    assert workspace.ok("verify").startswith("2 of 2 files are what they should be")
    damaged = blob(workspace, sha256_of(GGUF))
    damaged.chmod(0o644)
    damaged.write_bytes(GGUF[:-1] + b"!")
    done = workspace.run("verify")
    assert done.returncode == 1
    assert "models/one/v1/model.gguf: its bytes are not what its hash says" in done.stderr
    assert "hint: modelctl pull one@v1" in done.stderr
    document = workspace.json("verify", "one", codes=(1,))
    (fault,) = document["faults"]
    assert (fault["model"], fault["version"], fault["sha256"]) == ("one", "v1", sha256_of(GGUF))
    workspace.ok("pull")
    workspace.ok("verify")
    assert damaged.read_bytes() == GGUF


def test_verifying_an_empty_store_is_no_fault(workspace: Workspace) -> None:
    assert workspace.ok("verify") == "nothing of that is in the store\n"
    assert json.loads(workspace.ok("verify", "--format", "json"))["files"] == 0
    assert not workspace.store.exists()
