"""Units that a killed supervisor left behind: they hold the ports that its successor's units need."""

import psutil

_UNIT_VARIABLE = "MODELCTL_UNIT"
_END_SECONDS = 10.0


def end_orphans(variable: str, value: str) -> None:
    """End our units whose environment has `variable` = `value` and whose parent is gone."""
    orphans: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(variable) == value and _UNIT_VARIABLE in environment and _is_orphan(process):
                orphans.append(process)
                process.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(orphans, timeout=_END_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_END_SECONDS)


def _is_orphan(process: psutil.Process) -> bool:
    """Adopted by init or by a sub-reaper such as a container's or a user's manager: no kin of its parent."""
    parent = process.parent()
    return parent is None or parent.pid == 1 or parent.name() in {"systemd", "init", "tini", "dumb-init"}
