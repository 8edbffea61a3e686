"""A workspace under each supervisor that can run here."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reconciler.core.types import UnitName
from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from tests.support.pm2 import pm2_bin
from tests.support.systemd import PrivateManager
from tests.support.workspace import Workspace


@dataclass
class Stage:
    """A workspace, and its supervisor as a person would use it."""

    workspace: Workspace
    units: Path
    manager: PrivateManager | None

    def unit_file(self, unit: UnitName) -> Path:
        suffixes = {"systemd-user": "service", "pm2": "json"}
        return self.units / f"{unit}.{suffixes.get(self.workspace.supervisor, 'conf')}"

    def control(self, verb: str, unit: UnitName) -> str:
        """The supervisor's own tool; what it printed."""
        if self.manager:
            command: tuple[str, ...] = ("systemctl", "--user", verb, f"{unit}.service")
        elif self.workspace.supervisor == "pm2":
            command = ("pm2", verb, unit)
        else:
            configuration = self.units.parent / "supervisord.conf"
            tool = (sys.executable, "-m", "supervisor.supervisorctl")
            command = (*tool, "-c", str(configuration), verb, unit)
        done = subprocess.run(
            command, env=self.workspace.env(), check=False, capture_output=True, text=True, timeout=60
        )
        return done.stdout + done.stderr

    def stop(self, unit: UnitName) -> None:
        self.control("stop", unit)


@contextmanager
def staged(supervisor: str, manager: PrivateManager | None = None) -> Iterator[Stage]:
    """Everything that it ran is gone at the end. `manager` is for `systemd-user` only."""
    with TemporaryDirectory(prefix="mctl-", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(Path(folder), supervisor=supervisor)
        if supervisor == "systemd-user":
            assert manager is not None
            yield from _on_systemd(workspace, manager)
        elif supervisor == "pm2":
            yield from _on_pm2(workspace)
        else:
            daemon = SupervisordSupervisor(workspace.store / "state" / "supervisord")
            try:
                yield Stage(workspace, daemon.unit_path(UnitName("x")).parent, None)
            finally:
                daemon.shut_down()


def _on_systemd(workspace: Workspace, manager: PrivateManager) -> Iterator[Stage]:
    workspace.environment.update(manager.environment)
    stage = Stage(workspace, manager.unit_directory, manager)
    try:
        yield stage
    finally:
        for file in sorted(manager.unit_directory.glob("*.service"), reverse=True):
            stage.control("stop", UnitName(file.stem))
            stage.control("disable", UnitName(file.stem))
            file.unlink(missing_ok=True)


def _on_pm2(workspace: Workspace) -> Iterator[Stage]:
    workspace.environment["PATH"] = f"{pm2_bin()}{os.pathsep}{os.environ['PATH']}"
    workspace.environment["PM2_HOME"] = str(workspace.root / "pm2")
    try:
        yield Stage(workspace, workspace.store / "state" / "pm2", None)
    finally:
        subprocess.run(("pm2", "kill"), env=workspace.env(), capture_output=True, check=False)
