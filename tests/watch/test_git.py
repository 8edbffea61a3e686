"""What is seen of a repository, on real ones."""

import subprocess
from pathlib import Path

import pytest

from reconciler.core.errors import ModelctlError
from reconciler.host import git_watch
from reconciler.watch.remote import RemoteBranch, RemoteFollower

WHO = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(("git", "-C", folder, *WHO, *arguments), check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> git_watch.Repository:
    spec = tmp_path / "here" / "spec"
    spec.mkdir(parents=True)
    git(spec, "init", "--quiet", "--initial-branch=main", "..")
    (spec / "models.yaml").write_text("models: []\n")
    git(spec, "add", "--all")
    git(spec, "commit", "--quiet", "--message", "one")
    found = git_watch.find_repository(spec)
    assert found is not None
    return found


def commit(repository: git_watch.Repository, message: str) -> str:
    git(repository.folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(repository.folder, "rev-parse", "HEAD")


def test_outside_git_there_is_no_repository(tmp_path: Path) -> None:
    assert git_watch.find_repository(tmp_path) is None


def test_a_clean_branch(repository: git_watch.Repository) -> None:
    head = git(repository.folder, "rev-parse", "HEAD")
    seen = git_watch.read_checkout(repository)
    assert (seen.commit, seen.branch, seen.dirty, seen.operation) == (head, "main", False, None)


def test_edits_outside_the_spec_folder_do_not_count(repository: git_watch.Repository) -> None:
    (repository.folder.parent / "notes.txt").write_text("x")
    assert git_watch.read_checkout(repository).dirty is False
    (repository.folder / "more.yaml").write_text("x")
    assert git_watch.read_checkout(repository).dirty is True


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    found = git_watch.find_repository(tmp_path)
    assert found is not None
    assert git_watch.read_checkout(found).commit is None


def test_a_real_rebase_that_stops_is_seen(repository: git_watch.Repository) -> None:
    spec = repository.folder / "models.yaml"
    git(repository.folder, "switch", "--quiet", "--create", "topic")
    spec.write_text("models: []  # topic\n")
    git(repository.folder, "commit", "--quiet", "--all", "--message", "topic")
    git(repository.folder, "switch", "--quiet", "main")
    spec.write_text("models: []  # main\n")
    git(repository.folder, "commit", "--quiet", "--all", "--message", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository.folder, "rebase", "topic")
    assert git_watch.read_checkout(repository).operation == "a rebase"
    git(repository.folder, "rebase", "--abort")
    assert git_watch.read_checkout(repository).operation is None


def test_looking_takes_no_lock_of_git(repository: git_watch.Repository) -> None:
    (repository.git_folder / "index.lock").touch()
    assert git_watch.read_checkout(repository).branch == "main"


@pytest.fixture
def remote(repository: git_watch.Repository, tmp_path: Path) -> git_watch.Repository:
    """Another clone, which pushes to the remote that `repository` follows."""
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository.folder.parent), str(origin))
    git(repository.folder, "remote", "add", "origin", str(origin))
    git(tmp_path, "clone", "--quiet", str(origin), str(tmp_path / "other"))
    found = git_watch.find_repository(tmp_path / "other")
    assert found is not None
    return found


def test_a_fetch_tells_how_the_branches_stand(
    repository: git_watch.Repository, remote: git_watch.Repository
) -> None:
    new = commit(remote, "two")
    git(remote.folder, "push", "--quiet")
    found = git_watch.fetch(repository, "origin", "main")
    assert (found.commit, found.ahead, found.behind, found.rewritten) == (new, 0, 1, False)
    git_watch.fast_forward(repository, new)
    assert git_watch.read_checkout(repository).commit == new
    commit(repository, "ours")
    assert git_watch.fetch(repository, "origin", "main").ahead == 1


def test_a_force_push_is_seen_and_never_merged(
    repository: git_watch.Repository, remote: git_watch.Repository
) -> None:
    commit(remote, "two")
    git(remote.folder, "push", "--quiet")
    git_watch.fast_forward(repository, git_watch.fetch(repository, "origin", "main").commit)
    git(remote.folder, "commit", "--quiet", "--amend", "--allow-empty", "--message", "other")
    git(remote.folder, "push", "--quiet", "--force")
    found = git_watch.fetch(repository, "origin", "main")
    assert found.rewritten
    with pytest.raises(ModelctlError, match="fast-forward"):
        git_watch.fast_forward(repository, found.commit)


def test_a_remote_that_is_gone_is_an_error_in_gits_words_with_a_hint(
    repository: git_watch.Repository,
) -> None:
    with pytest.raises(ModelctlError, match=r"origin/main cannot be fetched: .*repository") as failure:
        git_watch.fetch(repository, "origin", "main")
    assert failure.value.hint == "try it: `git fetch origin main`"


def test_a_folder_behind_a_link_is_where_it_really_is(
    repository: git_watch.Repository, tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / "deep" / "spec"
    link.parent.mkdir(parents=True)
    link.symlink_to(repository.folder)
    found = git_watch.find_repository(link)
    assert found is not None
    assert found.common_folder == repository.common_folder
    assert git_watch.folders_to_watch(found, "main") == git_watch.folders_to_watch(repository, "main")


def follow(repository: git_watch.Repository) -> RemoteFollower:
    follower = RemoteFollower(repository, RemoteBranch("origin", "main", 60.0))
    follower.once()
    follower.close()
    return follower


def test_a_file_in_the_way_of_new_commits_is_named(
    repository: git_watch.Repository, remote: git_watch.Repository
) -> None:
    (remote.folder / "notes.txt").write_text("theirs")
    git(remote.folder, "add", "--all")
    commit(remote, "notes")
    git(remote.folder, "push", "--quiet")
    # Beside the spec, so that the spec itself is clean.
    (repository.folder.parent / "notes.txt").write_text("mine")
    blocked = follow(repository).blocked
    assert blocked is not None
    assert blocked.reason == "CannotForward"
    assert "notes.txt" in blocked.message
    (repository.folder.parent / "notes.txt").unlink()
    assert follow(repository).blocked is None


def test_a_branch_that_moved_is_told_with_what_goes_on(
    repository: git_watch.Repository, remote: git_watch.Repository
) -> None:
    commit(remote, "theirs")
    git(remote.folder, "push", "--quiet")
    commit(repository, "ours")
    blocked = follow(repository).blocked
    assert blocked is not None
    assert blocked.reason == "RemoteMoved"
    for command in ("log --left-right HEAD...origin/main", "rebase origin/main"):
        assert f"`git {command}`" in blocked.message
        git(repository.folder, *command.split())
    assert follow(repository).blocked is None
