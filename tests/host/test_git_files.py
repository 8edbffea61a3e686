"""A spec folder as a commit has it, on real repositories."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.core.errors import SpecError, UsageError
from reconciler.core.limits import MAXIMUM_SPEC_FILE
from reconciler.host import git, git_files
from reconciler.host.spec_files import read_spec_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = tmp_path / "here" / "spec"
    spec.mkdir(parents=True)
    run_git(spec, "init", "--quiet", "--initial-branch=main", "..")
    run_git(spec, "config", "core.autocrlf", "false")
    return spec


def run_git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(("git", "-C", folder, *who, *arguments), check=True, capture_output=True)


def commit_all(folder: Path) -> None:
    run_git(folder, "add", "--all", "--force")
    run_git(folder, "commit", "--quiet", "--message", "all")


def test_a_commit_reads_as_its_checkout_does(folder: Path) -> None:
    texts = {
        "a.yaml": "models: []  # ü\r\n",
        "b ü.yml": "",
        "c.yaml": "# no end of line",
        "d.yaml": "x: 1\n" * 9,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, newline="")
    (folder / ".hidden.yaml").write_text("not: read")
    (folder / "notes.txt").write_text("not read")
    (folder / "below.yaml").mkdir()
    (folder / "below.yaml" / "e.yaml").write_text("not: read")
    commit_all(folder)
    assert git_files.yaml_files(folder, "HEAD") == texts
    revision, read = git.texts_at(folder, "HEAD")
    on_disk = read_spec_folder(folder)
    assert read == {f"{name}@{str(revision.commit)[:12]}": text for name, text in on_disk.items()}


def test_a_hundred_files_take_one_process_for_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        (folder / f"{number:03}.yaml").write_text(f"# {number}\n")
    commit_all(folder)
    started: list[Sequence[str]] = []
    popen = subprocess.Popen

    class Counted(popen):  # type: ignore[misc, valid-type]
        def __init__(self, args: Sequence[str], **rest: object) -> None:
            started.append(args)
            super().__init__(args, **rest)

    monkeypatch.setattr(subprocess, "Popen", Counted)
    assert len(git.texts_at(folder, "HEAD")[1]) == 100
    assert [next(word for word in argv[3:]) for argv in started] == ["rev-parse", "ls-tree", "cat-file"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: 1\nb: \xff\n", r"a.yaml@[0-9a-f]{12}:2"),
        (b"#" * (MAXIMUM_SPEC_FILE + 1), r"a.yaml@[0-9a-f]{12}$"),
    ],
)
def test_what_no_spec_can_be_is_refused_with_its_place(folder: Path, content: bytes, why: str) -> None:
    (folder / "a.yaml").write_bytes(content)
    commit_all(folder)
    with pytest.raises(SpecError) as caught:
        git.texts_at(folder, "HEAD")
    assert re.search(why, str(caught.value.where))


def test_a_link_in_a_commit_is_refused_as_one_on_disk_is(folder: Path) -> None:
    (folder / "a.yaml").symlink_to("/etc/hostname")
    commit_all(folder)
    with pytest.raises(SpecError, match="no plain file"):
        git.texts_at(folder, "HEAD")


def test_a_commit_without_the_folder_or_its_files_is_bad_usage(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    commit_all(folder)
    with pytest.raises(UsageError, match="has no YAML files"):
        git.texts_at(folder, "HEAD")
    with pytest.raises(UsageError, match="is no commit here"):
        git.texts_at(folder, "nowhere")
