"""launchd through `launchctl`: agents of the logged-in user, daemons for root.

Built from Apple's manual pages and recorded answers; not yet tried on a Mac.
"""

import os
import plistlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reconciler.core.errors import SupervisorError
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitState, UnitStatus
from reconciler.host.files import atomic_write
from reconciler.host.process import Completed, run
from reconciler.host.supervisors.base import Problem
from reconciler.host.supervisors.given_up import GivenUp
from reconciler.host.supervisors.guarding import Duties, guard_argv, write_duties

_GUARD = UnitName("modelctl-guard")
_ANSWER_SECONDS = 30.0
_DRAIN_SECONDS = 120.0
"""How long a service that was told to go may take; launchd kills it after its ExitTimeOut."""
_DRAIN_POLL_SECONDS = 0.2

_STILL_DRAINING = 5
"""`Bootstrap failed: 5: Input/output error`: mostly the previous instance has not gone yet."""
_NOT_FOUND = (3, 113)
"""Exit statuses of launchctl for a service that is not loaded."""
_IN_PROGRESS = 36

_FIELD = re.compile(r"^\t(?P<key>[a-z ]+) = (?P<value>.+)$", re.MULTILINE)
"""A field of the service itself in `launchctl print`; those of its parts are indented further."""


class LaunchdSupervisor:
    """`unit_directory` and `domain` default to the user's agents, or the system's daemons for root."""

    kind = SupervisorKind.LAUNCHD
    journal = False

    def __init__(
        self,
        state_directory: Path,
        unit_directory: Path | None = None,
        domain: str | None = None,
        launchctl: Callable[[Sequence[str]], Completed] | None = None,
    ) -> None:
        root = os.geteuid() == 0
        agents = Path("/Library/LaunchDaemons") if root else Path.home() / "Library" / "LaunchAgents"
        self._state = state_directory
        self._units = unit_directory or agents
        self._domain = domain or ("system" if root else f"gui/{os.getuid()}")
        self._launchctl = launchctl or _run_launchctl
        self._given_up = GivenUp(state_directory / "launchd" / "given-up")

    def problem(self) -> Problem | None:
        if shutil.which("launchctl") is None:
            return Problem("launchctl is not here", "set settings.supervisor: supervisord in the spec")
        return None

    def is_running(self) -> bool:
        return self._launchctl(["print", self._domain]).returncode == 0

    def ensure_running(self) -> None:
        problem = self.problem()
        if problem is not None:
            raise SupervisorError(problem.what, hint=problem.hint)
        self._keep_guard()

    def unit_path(self, name: UnitName) -> Path:
        return self._units / f"{name}.plist"

    def installed(self) -> tuple[UnitName, ...]:
        return tuple(sorted(UnitName(path.stem) for path in self._units.glob("llama@*.plist")))

    def reload(self, changed: Sequence[UnitName], removed: Sequence[UnitName]) -> None:
        """At boot launchd loads the folder itself; a running service keeps what it was loaded with."""
        for name in removed:
            self._unload(name)
            self._given_up.forgive(name)
        if changed or removed:
            self._keep_guard()

    def start(self, names: Sequence[UnitName]) -> None:
        failures: list[str] = []
        for name in names:
            self._given_up.forgive(name)
            loaded = self._print(name)
            if loaded is None:
                failures += self._load(name)
            elif "pid" not in loaded:
                done = self._launchctl(["kickstart", self._target(name)])
                failures += [] if done.returncode == 0 else [f"{name} did not start: {done.complaint}"]
        _raise_all(failures)

    def stop(self, names: Sequence[UnitName]) -> None:
        for name in names:
            self._unload(name)
            self._given_up.forgive(name)
        self._wait_gone(names)

    def restart(self, names: Sequence[UnitName]) -> None:
        """`kickstart -k` would keep the old property list: load each anew."""
        for name in names:
            self._unload(name)
            self._given_up.forgive(name)
        self._wait_gone(names)
        _raise_all([failure for name in names for failure in self._load(name)])

    def observe(self, names: Sequence[UnitName]) -> dict[UnitName, UnitStatus]:
        return {name: self._status(name, self._print(name)) for name in names}

    def log(self, name: UnitName, *, lines: int, follow: bool) -> Iterator[str]:
        from reconciler.host.supervisors.tail import tail  # noqa: PLC0415 - only `modelctl logs` reads logs

        try:
            path = plistlib.loads(self.unit_path(name).read_bytes()).get("StandardOutPath")
        except FileNotFoundError:
            path = None
        return tail(Path(path), lines=lines, follow=follow) if path else iter(())

    def give_up(self, name: UnitName) -> None:
        """KeepAlive restarts for ever: unload the service and remember why."""
        self._given_up.mark(name)
        self._unload(name)

    def _target(self, name: UnitName) -> str:
        return f"{self._domain}/{name}"

    def _print(self, name: UnitName) -> dict[str, str] | None:
        done = self._launchctl(["print", self._target(name)])
        if done.returncode != 0:
            return None
        return {found["key"]: found["value"] for found in _FIELD.finditer(done.stdout)}

    def _status(self, name: UnitName, service: dict[str, str] | None) -> UnitStatus:
        if service is None:
            if self._given_up.holds(name):
                return UnitStatus(name, UnitState.FAILED, detail="a crash loop: given up")
            here = self.unit_path(name).exists()
            return UnitStatus(name, UnitState.STOPPED if here else UnitState.ABSENT)
        pid = int(service["pid"]) if service.get("pid", "").isdecimal() else None
        runs = service.get("runs", "")
        return UnitStatus(
            name=name,
            state=UnitState.RUNNING if pid is not None else UnitState.RESTARTING,
            pid=pid,
            restarts=max(0, int(runs) - 1) if runs.isdecimal() else 0,
            since=_started(pid),
            detail=None if pid is not None else _last_end(service),
        )

    def _load(self, name: UnitName) -> list[str]:
        """Bootstrap by the file as it is now; the reason if it failed."""
        self._launchctl(["enable", self._target(name)])
        deadline = time.monotonic() + _DRAIN_SECONDS
        while True:
            done = self._launchctl(["bootstrap", self._domain, str(self.unit_path(name))])
            if done.returncode == 0:
                return []
            if done.returncode != _STILL_DRAINING or time.monotonic() > deadline:
                return [f"{name} did not start: {done.complaint}"]
            time.sleep(_DRAIN_POLL_SECONDS)

    def _unload(self, name: UnitName) -> None:
        done = self._launchctl(["bootout", self._target(name)])
        if done.returncode not in {0, _IN_PROGRESS, *_NOT_FOUND}:
            raise SupervisorError(f"launchd did not unload {name}: {done.complaint}")

    def _wait_gone(self, names: Sequence[UnitName]) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        waiting = list(names)
        while waiting := [name for name in waiting if self._print(name) is not None]:
            if time.monotonic() > deadline:
                raise SupervisorError(f"{', '.join(waiting)}: still there after {_DRAIN_SECONDS:g} s")
            time.sleep(_DRAIN_POLL_SECONDS)

    def _keep_guard(self) -> None:
        """Our guard runs while there are units; without any it goes."""
        path = self.unit_path(_GUARD)
        if self.installed():
            duties = Duties(kind=self.kind, memory=True, logs=True, crashes=True)
            content = self._guard_plist(write_duties(self._state, duties))
            if not path.exists() or path.read_bytes() != content:
                (self._state / "launchd").mkdir(parents=True, exist_ok=True)
                atomic_write(path, content)
                self.restart([_GUARD])
            else:
                self.start([_GUARD])
        elif path.exists():
            self.stop([_GUARD])
            path.unlink()

    def _guard_plist(self, duties: Path) -> bytes:
        log = str(self._state / "launchd" / "guard.log")
        return plistlib.dumps(
            {
                "Label": str(_GUARD),
                "ProgramArguments": list(guard_argv(duties)),
                "WorkingDirectory": str(Path(__file__).parents[3]),
                "StandardOutPath": log,
                "StandardErrorPath": log,
                "RunAtLoad": True,
                "KeepAlive": True,
                "ProcessType": "Background",
            }
        )


def _run_launchctl(arguments: Sequence[str]) -> Completed:
    return run(["launchctl", *arguments], timeout=_ANSWER_SECONDS)


def _raise_all(failures: Sequence[str]) -> None:
    if failures:
        raise SupervisorError("; ".join(failures), hint="plutil -lint the file; see also: modelctl doctor")


def _last_end(service: dict[str, str]) -> str | None:
    signal = service.get("last terminating signal")
    code = service.get("last exit code")
    if signal is not None:
        return f"it was ended by {signal}"
    return f"it ended with exit status {code}" if code not in {None, "(never exited)", "0"} else None


def _started(pid: int | None) -> float | None:
    """When the process began, which launchctl does not tell."""
    import psutil  # noqa: PLC0415 - only launchd needs it

    try:
        return None if pid is None else float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
