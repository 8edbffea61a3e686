"""supervisord from PyPI, an instance of our own inside one folder: the default where nothing else runs."""

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.core.errors import SupervisorError
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitState, UnitStatus
from reconciler.host.files import atomic_write
from reconciler.host.process import run
from reconciler.host.supervisors.base import Problem
from reconciler.host.supervisors.environment import own_environment

if TYPE_CHECKING:
    import psutil

_SOCKET_LIMIT = 103 if sys.platform == "darwin" else 107
"""Longest path of a UNIX socket, in bytes."""
_PID_SUFFIX = len(".4194304")
"""supervisord binds a temporary name first: the socket's, a dot and its pid."""
_ANSWER_SECONDS = 10.0
_START_SECONDS = 30.0
_STOP_SECONDS = 600.0
"""An upper bound only: supervisord itself kills after each unit's stop timeout."""

_STATES = {
    "RUNNING": UnitState.RUNNING,
    "STARTING": UnitState.STARTING,
    "RESTARTING": UnitState.RESTARTING,
    "BACKOFF": UnitState.RESTARTING,
    "EXITED": UnitState.RESTARTING,
    "STOPPING": UnitState.STOPPED,
    "STOPPED": UnitState.STOPPED,
    "NOT_LOADED": UnitState.STOPPED,
    "FATAL": UnitState.FAILED,
    "UNKNOWN": UnitState.FAILED,
}

_CONFIGURATION = """\
; Written by modelctl. Each unit has a file of its own in conf.d.
[supervisord]
identifier=modelctl
logfile={folder}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={folder}/supervisord.pid
childlogdir={folder}
nocleanup=true
umask=077
{user}
[unix_http_server]
file={folder}/sock
chmod=0600

[supervisorctl]
serverurl=unix://{folder}/sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[rpcinterface:modelctl]
supervisor.rpcinterface_factory=reconciler.host.supervisors.supervisord_plugin:make_interface

[include]
files=conf.d/*.conf
"""


class _NotRunningError(SupervisorError):
    """Nobody listens at the socket."""


class SupervisordSupervisor:
    """`directory` holds configuration, socket, pid file, log, and one file per unit in `conf.d`."""

    kind = SupervisorKind.SUPERVISORD
    journal = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._units = self._directory / "conf.d"
        self._socket = self._directory / "sock"
        self._pid_file = self._directory / "supervisord.pid"

    def problem(self) -> Problem | None:
        path = str(self._directory)
        too_long = len(os.fsencode(self._socket)) + _PID_SUFFIX - _SOCKET_LIMIT
        if too_long > 0:
            return Problem(
                f"the path of supervisord's socket is {too_long} bytes too long: {self._socket}",
                "choose a shorter settings.store (or $MODELCTL_STORE)",
            )
        if any(character in path for character in "*?[]%;#\n"):
            return Problem(
                f"supervisord cannot live in {path}: it reads * ? [ ] % ; # in paths as syntax",
                "choose a settings.store (or $MODELCTL_STORE) without these characters",
            )
        try:
            import supervisor  # noqa: F401, PLC0415 - only to see whether it is there
        except ImportError:
            return Problem("the Python package supervisor is not installed", "pip install supervisor")
        return None

    def is_running(self) -> bool:
        try:
            self._call("supervisor.getState", timeout=_ANSWER_SECONDS)
        except SupervisorError as error:
            # One that is slow to answer (a machine that swaps) still runs its units: no second one beside it.
            if isinstance(error.__cause__, TimeoutError):
                raise
            return False
        return True

    def ensure_running(self) -> None:
        problem = self.problem()
        if problem is not None:
            raise SupervisorError(problem.what, hint=problem.hint)
        if self.is_running():
            return
        self._units.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / "starting").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.is_running():
                self._start_daemon()

    def unit_path(self, name: UnitName) -> Path:
        return self._units / f"{name}.conf"

    def installed(self) -> tuple[UnitName, ...]:
        return tuple(sorted(UnitName(path.stem) for path in self._units.glob("llama@*.conf")))

    def reload(self, changed: Sequence[UnitName], removed: Sequence[UnitName]) -> None:
        if changed or removed:
            self._make_log_folders()
            self._order("reload", removed, "was not removed")

    def start(self, names: Sequence[UnitName]) -> None:
        self._order("start", names, "did not start")

    def stop(self, names: Sequence[UnitName]) -> None:
        if not names:
            return
        with contextlib.suppress(_NotRunningError):
            self._order("stop", names, "did not stop")
            self._wait_while("STOPPING", names)

    def restart(self, names: Sequence[UnitName]) -> None:
        self._order("restart", names, "did not restart")
        self._wait_while("RESTARTING", names)

    def observe(self, names: Sequence[UnitName]) -> dict[UnitName, UnitStatus]:
        statuses = {name: UnitStatus(name, UnitState.ABSENT) for name in names}
        if not names:
            return statuses
        with contextlib.suppress(_NotRunningError):
            for found in self._call("modelctl.observe", list(names)):
                name = UnitName(found["name"])
                statuses[name] = UnitStatus(
                    name=name,
                    state=_STATES[found["state"]],
                    pid=found["pid"] or None,
                    restarts=found["restarts"],
                    since=found.get("since") or None,
                    detail=found.get("detail") or None,
                )
        return statuses

    def log(self, name: UnitName, *, lines: int, follow: bool) -> Iterator[str]:
        from reconciler.host.supervisors.tail import tail  # noqa: PLC0415 - only `modelctl logs` reads logs

        path = self._log_path(self.unit_path(name))
        return iter(()) if path is None else tail(path, lines=lines, follow=follow)

    def shut_down(self) -> None:
        """End the daemon and everything it runs; no-op where it does not run."""
        if not self.is_running():
            return
        self._call("supervisor.shutdown")
        deadline = time.monotonic() + _STOP_SECONDS
        while self._pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _order(self, method: str, names: Sequence[UnitName], failure: str) -> None:
        if not names and method != "reload":
            return
        failures = self._call(f"modelctl.{method}", list(names))
        if failures:
            raise SupervisorError(
                "; ".join(f"{name} {failure}: {why}" for name, why in failures),
                hint=f"read {self._directory / 'supervisord.log'}",
            )

    def _wait_while(self, state: str, names: Sequence[UnitName]) -> None:
        """Poll; each question also wakes supervisord's loop, which otherwise sleeps up to a second."""
        deadline = time.monotonic() + _STOP_SECONDS
        pause = 0.005
        while time.monotonic() < deadline:
            waiting = [
                found["name"]
                for found in self._call("modelctl.observe", list(names))
                if found["state"] == state
            ]
            if not waiting:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        raise SupervisorError(f"{', '.join(waiting)}: still {state.lower()} after {_STOP_SECONDS:g} s")

    def _call(self, method: str, *arguments: Any, timeout: float = _ANSWER_SECONDS) -> Any:
        import xmlrpc.client  # noqa: PLC0415 - 20 ms, and other supervisors do not need it

        from reconciler.host.supervisors import rpc  # noqa: PLC0415

        try:
            return rpc.call(self._socket, method, *arguments, timeout=timeout)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise _NotRunningError(
                f"supervisord does not run in {self._directory}", hint="modelctl apply starts it"
            ) from error
        except OSError as error:
            raise SupervisorError(
                f"supervisord does not answer at {self._socket}: {error.strerror or error}",
                hint=f"read {self._directory / 'supervisord.log'}",
            ) from error
        except xmlrpc.client.Fault as error:
            raise SupervisorError(f"supervisord refused {method}: {error.faultString}") from error
        except (xmlrpc.client.Error, ValueError) as error:
            raise SupervisorError(f"supervisord failed at {method}: {error}") from error

    def _start_daemon(self) -> None:
        if self._pid_file.exists() or self._socket.exists():
            self._clear_after_crash()
        self._make_log_folders()
        configuration = self._directory / "supervisord.conf"
        user = "user=root\n" if os.geteuid() == 0 else ""
        atomic_write(configuration, _CONFIGURATION.format(folder=self._directory, user=user), 0o600)
        done = run(
            [sys.executable, "-X", "utf8", "-m", "supervisor.supervisord", "-c", str(configuration)],
            env={**own_environment(), "PYTHONPATH": str(Path(__file__).parents[3])},
            timeout=_START_SECONDS,
        )
        if done.returncode != 0:
            raise SupervisorError(
                f"supervisord did not start: {done.complaint}",
                hint=f"read {self._directory / 'supervisord.log'}",
            )

    def _make_log_folders(self) -> None:
        """Without them it refuses its whole configuration for one missing folder of one log file."""
        for unit in self._units.glob("*.conf"):
            log = self._log_path(unit)
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)

    @staticmethod
    def _log_path(unit: Path) -> Path | None:
        try:
            text = unit.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "stdout_logfile" and value.startswith("/"):
                return Path(value.replace("%%%%", "%"))
        return None

    def _clear_after_crash(self) -> None:
        """End what a killed supervisord left behind: it holds ports that the next one's programs need."""
        from reconciler.host.supervisors.orphans import end_orphans  # noqa: PLC0415 - only after a crash

        end_orphans(self._is_program)
        try:
            self._socket.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)
        except OSError as error:
            raise SupervisorError(f"{error.filename} cannot be removed: {error.strerror}") from error

    def _is_program(self, process: "psutil.Process") -> bool:
        """Started by a supervisord of this folder: told by its variable, or forked and not yet executed."""
        if process.environ().get("SUPERVISOR_SERVER_URL") == f"unix://{self._socket}":
            return True
        forked = str(self._directory / "supervisord.conf") in process.cmdline()
        return forked and os.getsid(process.pid) != process.pid
