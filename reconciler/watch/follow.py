"""What is followed: the checked-out commits, or the files as they are saved."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reconciler.core.errors import ModelctlError, SpecError
from reconciler.core.plan import Revision
from reconciler.host import git_watch
from reconciler.host.spec_files import read_spec_folder
from reconciler.reconcile.session import Source, from_texts, read_source
from reconciler.watch.decide import Blocked, unfit


@dataclass(frozen=True, slots=True)
class Sighting:
    """What there is to follow now. `identity` is None when it cannot be followed, with the reason."""

    identity: str | None
    blocked: Blocked | None
    dirty: bool = False
    """The work tree has edits that are not followed."""


class Follower(Protocol):
    """One way to follow a spec."""

    def folders(self) -> tuple[Path, ...]:
        """Where a change hints at something new."""

    def look(self) -> Sighting:
        """What there is now."""

    def source(self, identity: str) -> Source:
        """Read what was sighted. SpecError when it does not load or is not there any more."""


class CommitFollower:
    """Follows the commits of the checked-out branch; edits that are not committed do not count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._repository: git_watch.Repository | None = None
        self._branch: str | None = None

    def folders(self) -> tuple[Path, ...]:
        if self._repository is None:
            return (self._folder,)
        return (*git_watch.folders_to_watch(self._repository, self._branch), self._folder)

    def look(self) -> Sighting:
        try:
            self._repository = self._repository or git_watch.find_repository(self._folder)
            checkout = None if self._repository is None else git_watch.read_checkout(self._repository)
        except ModelctlError as error:
            return Sighting(None, Blocked("GitFailed", error.what))
        self._branch = checkout.branch if checkout else None
        blocked = unfit(checkout)
        if checkout is None or blocked is not None:
            return Sighting(None, blocked, dirty=checkout is not None and checkout.dirty)
        return Sighting(checkout.commit, None, checkout.dirty)

    def source(self, identity: str) -> Source:
        return read_source(self._folder, identity)


class WorktreeFollower:
    """Follows the files of the spec folder as they are saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._repository = git_watch.find_repository(folder)

    def folders(self) -> tuple[Path, ...]:
        return (self._folder,)

    def look(self) -> Sighting:
        try:
            texts = read_spec_folder(self._folder)
        except SpecError as error:
            return Sighting(None, Blocked("SpecInvalid", error.what))
        digest = hashlib.sha256(repr(sorted(texts.items())).encode(errors="surrogateescape"))
        return Sighting(digest.hexdigest()[:16], None)

    def source(self, identity: str) -> Source:
        del identity  # files have no history: what is there now is what counts
        commit = None
        if self._repository is not None:
            commit = git_watch.read_checkout(self._repository).commit
        return from_texts(self._folder, read_spec_folder(self._folder), Revision(commit, dirty=True))
