"""Units that a killed supervisor left behind: they hold the ports that its successor's units need."""

from collections.abc import Callable

import psutil

_END_SECONDS = 10.0


def end_orphans(is_ours: Callable[[psutil.Process], bool]) -> None:
    """End the processes that are ours and whose parent is gone; kill those that do not end."""
    orphans: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if is_ours(process) and _is_orphan(process):
                orphans.append(process)
                process.terminate()
        except (psutil.Error, ProcessLookupError):
            continue
    _, alive = psutil.wait_procs(orphans, timeout=_END_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_END_SECONDS)


def _is_orphan(process: psutil.Process) -> bool:
    """Adopted by init or by a sub-reaper such as a container's or a user's manager: no kin of its parent."""
    parent = process.parent()
    return parent is None or parent.pid == 1 or parent.name() in {"systemd", "init", "tini", "dumb-init"}
