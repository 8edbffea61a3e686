"""Git, through the `git` command."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.core.errors import ModelctlError, Refused, UsageError
from reconciler.core.plan import Revision
from reconciler.host.git_files import yaml_files
from reconciler.host.process import run

_TIMEOUT_SECONDS = 30.0
_COMMIT_SECONDS = 300.0
"""A commit runs the repository's hooks, and may ask for a passphrase."""
_UNFINISHED = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What Git keeps in its folder while such a thing is under way."""


def revision(folder: Path) -> Revision:
    """The commit that `folder` is checked out at, and whether files in it differ from that commit."""
    head = run(
        ("git", "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"), timeout=_TIMEOUT_SECONDS
    )
    if head.returncode != 0:
        return Revision(commit=None, dirty=True)
    status = run(
        ("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=all", "--", "."),
        timeout=_TIMEOUT_SECONDS,
    )
    return Revision(commit=head.stdout.strip(), dirty=bool(status.stdout.strip()))


def texts_at(folder: Path, reference: str) -> tuple[Revision, Mapping[str, str]]:
    """The YAML files of `folder` as they stand in commit `reference`: path for messages → text.

    Raises UsageError when the reference or the folder does not exist there, SpecError as `read_spec_folder`
    does.
    """
    git = ("git", "-C", str(folder))
    found = run(
        (*git, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"), timeout=_TIMEOUT_SECONDS
    )
    if found.returncode != 0:
        raise UsageError(
            f"{reference!r} is no commit here", hint=f"`git -C {folder} log --oneline` lists them"
        )
    commit = found.stdout.strip()
    files = yaml_files(folder, commit)
    if not files:
        raise UsageError(f"commit {commit[:12]} has no YAML files in {folder}", hint="choose another --ref")
    texts = {f"{folder / name}@{commit[:12]}": text for name, text in files.items()}
    return Revision(commit=commit, dirty=False), texts


def require_committable(folder: Path, files: Sequence[Path]) -> None:
    """Refused unless these files of `folder`, and nothing else, could be committed on a branch now.

    Other files may be as they are: neither staged nor changed ones get into the commit.
    """
    git = ("git", "-C", str(folder))
    where = run((*git, "rev-parse", "--absolute-git-dir"), timeout=_TIMEOUT_SECONDS)
    if where.returncode != 0:
        raise Refused(f"{folder} is not in Git", hint=f"`git -C {folder} init`, or leave out --commit")
    for name, what in _UNFINISHED.items():
        if (Path(where.stdout.strip()) / name).exists():
            raise Refused(
                f"a {what} is under way in {folder}",
                hint=f"finish it (`git -C {folder} status` says how), or leave out --commit",
            )
    if run((*git, "symbolic-ref", "--quiet", "HEAD"), timeout=_TIMEOUT_SECONDS).returncode != 0:
        raise Refused(
            f"{folder} is at a detached HEAD: a commit there would be on no branch",
            hint=f"`git -C {folder} switch BRANCH`, or leave out --commit",
        )
    names = [str(file.resolve()) for file in files]
    for file in names:
        if run((*git, "ls-files", "--error-unmatch", "--", file), timeout=_TIMEOUT_SECONDS).returncode != 0:
            raise Refused(
                f"{file} is not tracked by Git", hint="add and commit it first, or leave out --commit"
            )
    status = run((*git, "status", "--porcelain", "--", *names), timeout=_TIMEOUT_SECONDS)
    if status.stdout.strip():
        changed = ", ".join(line[3:] for line in status.stdout.splitlines())
        raise Refused(
            f"{changed} has changes that are not committed", hint="commit them first, or leave out --commit"
        )
    identity = run((*git, "var", "GIT_COMMITTER_IDENT"), timeout=_TIMEOUT_SECONDS)
    if identity.returncode != 0:
        raise Refused(
            "Git does not know who you are",
            hint="`git config --global user.name …` and `git config --global user.email …`",
        )


def commit(folder: Path, files: Sequence[Path], message: str) -> str:
    """Commit these files alone, as whoever Git's configuration names, through the repository's hooks.

    Returns the commit's id. ModelctlError when Git or a hook says no; the files stay as they are.
    """
    git = ("git", "-C", str(folder))
    names = [str(file.resolve()) for file in files]
    done = run((*git, "commit", "--quiet", "--message", message, "--", *names), timeout=_COMMIT_SECONDS)
    if done.returncode != 0:
        raise ModelctlError(
            f"the edit of {', '.join(file.name for file in files)} stands, but could not be committed:"
            f" {done.complaint}",
            hint=f"git commit -m '{message}' -- {' '.join(names)}",
        )
    return run((*git, "rev-parse", "HEAD"), timeout=_TIMEOUT_SECONDS).stdout.strip()
