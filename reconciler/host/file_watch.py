"""Waiting until something changes in some folders, or for a while."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_STEP_MILLISECONDS = 30
"""How often hints are looked for, and how long they are gathered then: one `git commit` gives several.
At 30 ms waiting costs a tenth of a per cent of a core."""


class FolderWatch:
    """Hints that something may have changed directly in one of the folders; what, the caller looks up.

    Changes between two waits are not lost. Folders that cannot be watched (gone, or the system's limit on
    watches is reached) give no hints, so the caller must also look now and then.
    """

    def __init__(self) -> None:
        self._folders: tuple[Path, ...] = ()
        self._notifier: Any = None

    def watch(self, folders: Sequence[Path]) -> None:
        """Watch these folders from now on; the same ones again change nothing."""
        wanted = tuple(folders)
        if wanted == self._folders and self._notifier is not None:
            return
        from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 - only the watcher pays for it

        self._folders = wanted
        self.close()
        try:
            self._notifier = RustNotify(
                [str(folder) for folder in wanted],
                debug=False,
                force_polling=False,
                poll_delay_ms=300,
                recursive=False,
                ignore_permission_denied=True,
            )
        except OSError:
            self._notifier = None

    def close(self) -> None:
        """Give the system's watches back."""
        notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.close()

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """True as soon as there is a hint; False when the time is over or `stop` was set."""
        notifier = self._notifier
        if notifier is None:
            stop.wait(seconds)
            return False
        milliseconds = max(1, int(seconds * 1000))
        found = notifier.watch(_STEP_MILLISECONDS, _STEP_MILLISECONDS, milliseconds, stop)
        return isinstance(found, set)
