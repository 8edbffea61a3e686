"""The machine's lock as a person meets it: a holder that is soon done is waited for."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context

if TYPE_CHECKING:
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
