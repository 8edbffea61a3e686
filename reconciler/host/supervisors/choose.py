"""Which supervisor this machine has, and the adapter for it."""

import os
import sys
from pathlib import Path

from reconciler.core.errors import SupervisorError
from reconciler.core.units import SupervisorKind
from reconciler.host.supervisors.base import CrashLoopSupervisor, Supervisor


def open_supervisor(kind: SupervisorKind, *, state_directory: Path) -> Supervisor:
    """The adapter for `kind`; nothing is started or looked at yet.

    `state_directory` is modelctl's own folder: supervisord lives there, and so do the unit files for PM2.
    """
    match kind:
        case SupervisorKind.SUPERVISORD:
            from reconciler.host.supervisors.supervisord import SupervisordSupervisor  # noqa: PLC0415

            return SupervisordSupervisor(state_directory / "supervisord")
        case SupervisorKind.SYSTEMD:
            from reconciler.host.supervisors.systemd import Scope, SystemdSupervisor  # noqa: PLC0415

            return SystemdSupervisor(Scope.SYSTEM, Path("/etc/systemd/system"), state_directory)
        case SupervisorKind.SYSTEMD_USER:
            from reconciler.host.supervisors.systemd import (  # noqa: PLC0415
                Scope,
                SystemdSupervisor,
                user_unit_directory,
            )

            return SystemdSupervisor(Scope.USER, user_unit_directory(), state_directory)
        case SupervisorKind.PM2 | SupervisorKind.LAUNCHD:
            return open_crash_loop_supervisor(kind, state_directory)


def open_crash_loop_supervisor(kind: SupervisorKind, state_directory: Path) -> CrashLoopSupervisor:
    """The adapter for a supervisor that needs the guard to notice crash loops."""
    match kind:
        case SupervisorKind.PM2:
            from reconciler.host.supervisors.pm2 import Pm2Supervisor  # noqa: PLC0415

            return Pm2Supervisor(state_directory)
        case SupervisorKind.LAUNCHD:
            from reconciler.host.supervisors.launchd import LaunchdSupervisor  # noqa: PLC0415

            return LaunchdSupervisor(state_directory)
        case _:
            raise SupervisorError(f"{kind} notices crash loops by itself")


def detect() -> SupervisorKind:
    """What `supervisor: auto` means here.

    systemd where it runs this machine (the system's for root, the user's own manager for others), launchd on
    macOS, otherwise the embedded supervisord.
    """
    if sys.platform == "darwin":
        return SupervisorKind.LAUNCHD
    if Path("/run/systemd/system").is_dir():
        if os.geteuid() == 0 and Path("/proc/1/comm").read_text(encoding="ascii").strip() == "systemd":
            return SupervisorKind.SYSTEMD
        if os.geteuid() != 0 and _user_manager_answers():
            return SupervisorKind.SYSTEMD_USER
    return SupervisorKind.SUPERVISORD


def _user_manager_answers() -> bool:
    from reconciler.host.process import run  # noqa: PLC0415

    return run(["systemctl", "--user", "show", "--property=Version"], timeout=10).returncode == 0
