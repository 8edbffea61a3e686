"""`modelctl pull NAME --quant Q` as a person runs it, against a hub on loopback."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.demo.tiny_model import tiny_model
from reconciler.spec.load import load
from reconciler.spec.model import Version
from tests.support.artifacts import sha256_of
from tests.support.hub import Hub
from tests.support.workspace import Workspace

OLD, NEW, OTHER, MMPROJ = (tiny_model(answer) for answer in ("old", "new", "other", "picture"))

SPEC = f"""\
# The models of this machine.
models:
  - id: one  # the first
    current_version: v1
    versions:
      - version_id: v1
        gguf_url: hf://org/repo/one-q4_0.gguf  # keep this comment
        sha256: {sha256_of(OLD)}
        mmproj: {{url: hf://org/repo/mmproj-one.gguf}}
    profiles: {{cpu_only: {{port: 8601}}}}
  - id: two
    current_version: v1
    versions: [{{version_id: v1, gguf_url: "file:///two.gguf"}}]
    profiles: {{cpu_only: {{port: 8602}}}}
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        for path, content in (
            ("one-q4_0.gguf", OLD),
            ("one-Q8_0.gguf", NEW),
            ("one-Q5_K_M.gguf", NEW),
            ("one-UD-Q5_K_M.gguf", OTHER),
            ("mmproj-one.gguf", MMPROJ),
        ):
            hub.add("org/repo", path, content)
        hub.add("org/safetensors", "model.safetensors", b"{}")
        hub.add("else/repo", "one.Q8_0.gguf", OTHER)
        yield hub


@pytest.fixture
def workspace(tmp_path: Path, hub: Hub) -> Workspace:
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    made = Workspace(tmp_path, environment=environment)
    made.spec.mkdir()
    (made.spec / "models.yaml").write_text(SPEC)
    return made


def text(workspace: Workspace) -> str:
    return (workspace.spec / "models.yaml").read_text()


def newest(workspace: Workspace, model: str = "one") -> Version:
    [found] = [entry for entry in load({"models.yaml": text(workspace)}).models if entry.id == model]
    assert found.current_version == "v1", "a pull serves nothing"
    return found.versions[-1]


def test_the_file_is_found_fetched_and_becomes_a_version(workspace: Workspace, hub: Hub) -> None:
    document = json.loads(workspace.ok("pull", "one", "--quant", "q8_0", "--format", "json"))
    version = newest(workspace)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-01", version.version_id)
    assert document["versions"][0]["version"] == version.version_id
    assert version.gguf_url == "hf://org/repo/one-Q8_0.gguf"
    assert version.revision == hub.tips["org/repo"]
    assert version.hashes == (sha256_of(NEW),)
    assert version.created_at is not None
    assert version.created_at.startswith(version.version_id[:10])
    assert version.mmproj is not None
    assert version.mmproj.sha256 == sha256_of(MMPROJ)
    stored = workspace.store / "models" / "one" / version.version_id
    assert (stored / "model.gguf").read_bytes() == NEW
    before, _, rest = SPEC.partition("    profiles: {cpu_only: {port: 8601}}\n")
    assert text(workspace).startswith(before)
    assert text(workspace).endswith(rest)


def test_a_repository_can_be_named_for_a_model(workspace: Workspace) -> None:
    workspace.ok("pull", "else/repo", "--quant", "Q8_0", "--into", "two")
    assert newest(workspace, "two").gguf_url == "hf://else/repo/one.Q8_0.gguf"
    workspace.ok("pull", "org/repo", "--quant", "one-Q5_K_M.gguf")
    assert newest(workspace).gguf_url == "hf://org/repo/one-Q5_K_M.gguf"


def test_the_second_version_of_a_day_is_numbered_on(workspace: Workspace) -> None:
    workspace.ok("pull", "one", "--quant", "Q8_0")
    workspace.ok("pull", "one", "--quant", "UD-Q5_K_M")
    assert newest(workspace).version_id.endswith("-02")


def test_a_version_can_be_given_its_name(workspace: Workspace) -> None:
    workspace.ok("pull", "one", "--quant", "Q8_0", "--version", "2025-12-01-01")
    assert newest(workspace).version_id == "2025-12-01-01"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("one", "--quant", "Q5_K_M"), 2, "one-Q5_K_M.gguf, one-UD-Q5_K_M.gguf"),
        (("one", "--quant", "Q3_K"), 2, "has no file of quantisation 'Q3_K'"),
        (("one", "--quant", "Q4_0"), 3, "already, as version v1"),
        (("two", "--quant", "Q4_0"), 2, "--into two"),
        (("uno", "--quant", "Q4_0"), 2, "the spec has no model `uno`"),
        (("else/repo", "--quant", "Q8_0"), 2, "--into MODEL"),
        (("else/repo", "--quant", "Q8_0", "--into", "tow"), 2, "did you mean `two`"),
        (("org/safetensors", "--quant", "Q8_0", "--into", "two"), 1, "has no GGUF files"),
        (("org/none", "--quant", "Q8_0", "--into", "two"), 1, "does not exist"),
        (("a/../b", "--quant", "Q8_0", "--into", "two"), 2, "is no repository"),
        (("one", "two", "--quant", "Q8_0"), 2, "one MODEL or one ORG/REPO"),
        (("--quant", "Q8_0"), 2, "one MODEL or one ORG/REPO"),
        (("one", "--into", "two"), 2, "--into and --version go with --quant"),
        (("one", "--version", "v2"), 2, "--into and --version go with --quant"),
        (("one", "--quant", "Q8_0", "--version", "v1"), 2, "has a version `v1` already"),
        (("one", "--quant", "Q8_0", "--version", "../v2"), 2, "cannot name a version"),
    ],
)
def test_what_is_not_clear_changes_nothing_and_names_the_choices(
    workspace: Workspace, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = workspace.run("pull", *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert text(workspace) == SPEC
    assert not (workspace.store / "models").exists()


def test_offline_it_says_so(workspace: Workspace) -> None:
    workspace.environment["HF_HUB_OFFLINE"] = "1"
    done = workspace.run("pull", "one", "--quant", "Q8_0")
    assert done.returncode == 1
    assert "the network may not be used" in done.stderr


def test_a_download_that_fails_adds_no_version(workspace: Workspace, hub: Hub) -> None:
    hub.add("org/repo", "one-Q2_K.gguf", b"not a GGUF at all")
    done = workspace.run("pull", "one", "--quant", "Q2_K")
    assert done.returncode == 1
    assert "is not a GGUF file" in done.stderr
    assert text(workspace) == SPEC
