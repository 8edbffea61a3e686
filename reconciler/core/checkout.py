"""What is checked out in a Git work tree, and how it stands to a remote branch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checkout:
    """`commit` is None before the first one, `branch` None when HEAD is detached."""

    commit: str | None
    branch: str | None
    dirty: bool
    """Whether files in the spec folder differ from the commit."""
    operation: str | None
    """What is under way in the work tree, such as `a rebase`."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """How the checked-out branch stands to the remote one after a fetch."""

    commit: str
    """Of the remote branch."""
    ahead: int
    """Commits that only we have."""
    behind: int
    """Commits that only the remote branch has."""
    rewritten: bool
    """Whether the remote branch no longer holds what it held before: it was force-pushed."""
