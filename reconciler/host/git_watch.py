"""What a watcher needs to know of a repository, in one call to Git, and following a remote branch."""

import os
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.checkout import Checkout, Fetched
from reconciler.core.errors import ModelctlError
from reconciler.host.process import Completed, run

_LOOK_SECONDS = 30.0
_FETCH_SECONDS = 120.0
_OPERATIONS = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_START": "a bisect",
}
"""Names in the Git folder that stand for something begun and not ended (gitrepository-layout(5))."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the spec folder's repository keeps its things; absolute paths."""

    folder: Path
    git_folder: Path
    """Of this work tree: HEAD, the index, what is under way."""
    common_folder: Path
    """Of all work trees of the repository: refs, objects."""


def find_repository(folder: Path) -> Repository | None:
    """None when `folder` is not in a Git work tree.

    ModelctlError when Git does not want to say, as with a repository that belongs to somebody else.
    """
    done = _run(folder, "rev-parse", "--absolute-git-dir", "--git-common-dir")
    if done.returncode != 0:
        if "not a git repository" in done.stderr:
            return None
        raise ModelctlError(f"git cannot look at {folder}: {done.complaint}")
    git_folder, common = done.stdout.splitlines()
    # What Git says is relative to where the folder really is, not to a link that leads there.
    return Repository(folder, Path(git_folder), Path(os.path.normpath(folder.resolve() / common)))


def read_checkout(repository: Repository) -> Checkout:
    """Look without taking Git's own locks: nobody's `git commit` must fail because of a watcher."""
    done = _run(repository.folder, "status", "--porcelain=v2", "--branch", "--untracked-files=all", "--", ".")
    if done.returncode != 0:
        raise ModelctlError(f"git cannot look at {repository.folder}: {done.complaint}")
    said = dict(line[2:].split(" ", 1) for line in done.stdout.splitlines() if line.startswith("# "))
    commit, branch = said["branch.oid"], said["branch.head"]
    return Checkout(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        dirty=any(not line.startswith("#") for line in done.stdout.splitlines()),
        operation=next(
            (word for name, word in _OPERATIONS.items() if (repository.git_folder / name).exists()), None
        ),
    )


def folders_to_watch(repository: Repository, branch: str | None) -> tuple[Path, ...]:
    """Folders in which something changes when HEAD moves or an operation begins or ends."""
    folders = [repository.git_folder, repository.git_folder / "logs", repository.common_folder]
    heads = repository.common_folder / "refs" / "heads"
    folders += [heads, (heads / branch).parent] if branch else [heads]
    folders.append(repository.common_folder / "reftable")
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def fetch(repository: Repository, remote: str, branch: str) -> Fetched:
    """Fetch one branch; ModelctlError with Git's own words when that fails."""
    reference = f"refs/remotes/{remote}/{branch}"
    before = _git(repository, "rev-parse", "--verify", "--quiet", reference)
    fetched = _run(
        repository.folder, "fetch", "--quiet", "--no-tags", remote, f"+refs/heads/{branch}:{reference}",
        timeout=_FETCH_SECONDS,
    )  # fmt: skip
    if fetched.returncode != 0:
        raise ModelctlError(
            f"{remote}/{branch} cannot be fetched: {fetched.complaint}",
            hint=f"try it: `git fetch {remote} {branch}`",
        )
    now = _git(repository, "rev-parse", "--verify", "--quiet", reference) or ""
    counts = _git(repository, "rev-list", "--left-right", "--count", f"HEAD...{reference}") or "0 0"
    ahead, behind = (int(count) for count in counts.split())
    lost = before is not None and before != now
    rewritten = lost and _git(repository, "merge-base", "--is-ancestor", str(before), now) is None
    return Fetched(now, ahead, behind, rewritten)


def fast_forward(repository: Repository, commit: str) -> None:
    """Move the checked-out branch and its files to `commit`; ModelctlError when that is no fast-forward."""
    done = _run(repository.folder, "merge", "--quiet", "--ff-only", commit, timeout=_FETCH_SECONDS)
    if done.returncode != 0:
        raise ModelctlError(f"cannot fast-forward to {commit[:12]}: {done.complaint}", hint="`git status`")


def _git(repository: Repository, *arguments: str, timeout: float = _LOOK_SECONDS) -> str | None:
    """Output without its end of line; None when Git said no."""
    done = _run(repository.folder, *arguments, timeout=timeout)
    return done.stdout.strip() if done.returncode == 0 else None


def _run(folder: Path, *arguments: str, timeout: float = _LOOK_SECONDS) -> Completed:
    """Git in English, that takes no lock only to look and never asks for a password."""
    environment = {
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    return run(
        ("git", "--no-optional-locks", "-C", str(folder), *arguments), timeout=timeout, env=environment
    )
