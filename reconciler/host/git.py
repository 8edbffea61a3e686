"""Git, through the `git` command."""

from collections.abc import Mapping
from pathlib import Path

from reconciler.core.errors import UsageError
from reconciler.core.plan import Revision
from reconciler.host.process import run

_TIMEOUT_SECONDS = 30.0


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

    Raises UsageError when the reference or the folder does not exist there.
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
    listing = run((*git, "ls-tree", "-z", "--name-only", commit, "./"), timeout=_TIMEOUT_SECONDS)
    names = sorted(name for name in listing.stdout.split("\0") if name.endswith((".yaml", ".yml")))
    if not names:
        raise UsageError(f"commit {commit[:12]} has no YAML files in {folder}", hint="choose another --ref")
    texts = {
        f"{folder / name}@{commit[:12]}": run(
            (*git, "show", f"{commit}:./{name}"), timeout=_TIMEOUT_SECONDS
        ).stdout
        for name in names
    }
    return Revision(commit=commit, dirty=False), texts
