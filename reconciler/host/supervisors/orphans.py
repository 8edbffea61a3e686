"""Units that a killed supervisor left behind: they hold the ports that its successor's units need."""

import time
from collections.abc import Callable
from contextlib import suppress

import psutil

_END_SECONDS = 10.0
_ADOPTION_SECONDS = 1.0
"""A killed supervisor closes its socket a moment before its children are given to another parent."""
_LOOK_SECONDS = 0.02


def end_orphans(is_ours: Callable[[psutil.Process], bool]) -> None:
    """End the processes that are ours and whose parent is gone; kill those that do not end."""
    orphans: list[psutil.Process] = []
    waiting = [process for process in psutil.process_iter() if _holds(is_ours, process)]
    deadline = time.monotonic() + _ADOPTION_SECONDS
    while waiting:
        adopted = [process for process in waiting if _holds(_is_orphan, process)]
        for process in adopted:
            with suppress(psutil.Error):
                process.terminate()
        orphans += adopted
        waiting = [process for process in waiting if process not in adopted and process.is_running()]
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_SECONDS)
    _, alive = psutil.wait_procs(orphans, timeout=_END_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_END_SECONDS)


def _holds(test: Callable[[psutil.Process], bool], process: psutil.Process) -> bool:
    """The test's answer; no for a process that is gone or that we may not look at."""
    try:
        return test(process)
    except (psutil.Error, ProcessLookupError):
        return False


def _is_orphan(process: psutil.Process) -> bool:
    """Adopted by init or by a sub-reaper such as a container's or a user's manager: no kin of its parent."""
    parent = process.parent()
    return parent is None or parent.pid == 1 or parent.name() in {"systemd", "init", "tini", "dumb-init"}
