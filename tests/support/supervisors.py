"""A supervisor of the tests' own: the adapter, and the supervisor's tool as a person would use it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from reconciler.core.types import UnitName
from reconciler.core.units import GpuAccess, SupervisorKind, UnitDefinition, UnitState, UnitStatus
from reconciler.host.supervisors.base import Supervisor
from reconciler.host.supervisors.choose import open_supervisor
from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from reconciler.host.templates import unit_template
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.render import render
from tests.support.waiting import wait_until

SLEEP = ("/bin/sleep", "1000")


def is_alive(pid: int) -> bool:
    """Whether the process runs; what has ended but was not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Box:
    """A supervisor with nothing in it."""

    supervisor: Supervisor
    folder: Path
    by_hand: Callable[[str, str], None]
    """Run the supervisor's own command for a verb and a unit."""
    names: list[UnitName] = field(default_factory=list)

    def unit(self, name: str = "a", argv: tuple[str, ...] = SLEEP, **changes: object) -> UnitName:
        """Write a unit's file; the supervisor has not been told."""
        definition = UnitDefinition(
            name=UnitName(f"llama@{name}-max"),
            description="a test",
            argv=argv,
            environment=(),
            working_directory=str(self.folder),
            log_path=str(self.folder / "logs" / f"{name}.log"),
            memory_limit=None,
            read_paths=(),
            write_paths=(),
            gpu=GpuAccess.NONE,
            loopback=True,
            stop_timeout_seconds=5,
        )
        definition = replace(definition, **changes)  # type: ignore[arg-type]
        (self.folder / "logs").mkdir(exist_ok=True)
        kind = self.supervisor.kind
        ownership = Ownership("test", 1, definition.config_hash)
        path = self.supervisor.unit_path(definition.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(definition, ownership, kind, unit_template(kind)).text)
        self.names.append(definition.name)
        return definition.name

    def running(self, name: str = "a", argv: tuple[str, ...] = SLEEP, **changes: object) -> UnitName:
        """Write, reload, start and see it running."""
        unit = self.unit(name, argv, **changes)
        self.supervisor.reload([unit], [])
        self.supervisor.start([unit])
        self.wait_for(unit, UnitState.RUNNING)
        return unit

    def status(self, name: UnitName) -> UnitStatus:
        return self.supervisor.observe([name])[name]

    def pid(self, name: UnitName) -> int:
        pid = self.status(name).pid
        assert pid is not None
        return pid

    def wait_for(self, name: UnitName, state: UnitState, seconds: float = 10) -> None:
        wait_until(lambda: self.status(name).state is state, seconds, f"{name} {state}")

    def clear(self) -> None:
        names = list(dict.fromkeys(self.names))
        self.supervisor.stop(names)
        for name in names:
            self.supervisor.unit_path(name).unlink(missing_ok=True)
        self.supervisor.reload([], names)


def supervisord_box(folder: Path) -> Iterator[Box]:
    supervisor = open_supervisor(SupervisorKind.SUPERVISORD, state_directory=folder)
    assert isinstance(supervisor, SupervisordSupervisor)
    supervisor.ensure_running()
    configuration = str(folder / "supervisord" / "supervisord.conf")
    control = [sys.executable, "-m", "supervisor.supervisorctl", "-c", configuration]
    yield Box(supervisor, folder, lambda verb, name: _run([*control, verb, name]))
    supervisor.shut_down()


def systemd_box(folder: Path) -> Iterator[Box]:
    supervisor = open_supervisor(SupervisorKind.SYSTEMD_USER, state_directory=folder)
    supervisor.ensure_running()
    box = Box(supervisor, folder, lambda verb, name: _run(["systemctl", "--user", verb, f"{name}.service"]))
    yield box
    box.clear()


def pm2_box(folder: Path) -> Iterator[Box]:
    supervisor = open_supervisor(SupervisorKind.PM2, state_directory=folder)
    supervisor.ensure_running()
    yield Box(supervisor, folder, lambda verb, name: _run(["pm2", verb, name]))
    _run(["pm2", "kill"])


def _run(argv: list[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
