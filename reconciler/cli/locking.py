"""The machine's lock as a person meets it: a holder that is soon done is waited for."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context

if TYPE_CHECKING:
    from reconciler.reconcile.session import Source
    from reconciler.reconcile.site import Site

_WAIT_SECONDS = 10.0
"""A watcher's pass over a small change takes less; a person who waits longer wants to know."""
_POLL_SECONDS = 0.1


@contextmanager
def machine_lock(context: Context, site: "Site") -> Iterator[None]:
    """Hold the lock for the block, after waiting a little for whoever has it, who is named on stderr.

    Refused when it is still held then.
    """
    from reconciler.core.errors import Refused  # noqa: PLC0415
    from reconciler.host.lock import apply_lock  # noqa: PLC0415

    deadline = time.monotonic() + _WAIT_SECONDS
    told = False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(apply_lock(Path(site.places.lock)))
                break
            except Refused as refusal:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    context.output.note(f"{refusal.what}; waiting up to {_WAIT_SECONDS:g} s")
                    told = True
            time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def editing(folder: Path) -> Iterator[None]:
    """Hold the spec folder for the block, in which it is read, edited and committed: nobody's edit is lost.

    The lock lies on the folder itself, so it needs no file beside the spec; the kernel releases it. It is
    held for moments, and waited for. Where a file system has no locks, there is none.
    """
    import fcntl  # noqa: PLC0415 - only what edits the spec pays for it

    with ExitStack() as held:
        with suppress(OSError):  # a folder that is not there is for its reader to word
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_source(
    context: Context, source: "Source", reference: str | None = None
) -> "Iterator[tuple[Source, Site]]":
    """Hold the lock of the machine that `source` means; gives the source as it is by then, with its site.

    Whoever had the lock before may have edited the spec, as `promote` does. Refused when it means another
    machine by then.
    """
    from reconciler.core.errors import Refused  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415

    site = session.open_source(source)
    with machine_lock(context, site):
        now = session.read_again(source, reference)
        if now is not source:
            before, site = site, session.open_source(now)
            if site.places != before.places:
                raise Refused("the spec names another store by now", hint="run the command again")
        yield now, site
