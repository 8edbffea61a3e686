"""PM2 through its command line, for those who run it already."""

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.core.errors import SupervisorError
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitState, UnitStatus
from reconciler.host.files import atomic_write
from reconciler.host.process import Completed, run
from reconciler.host.supervisors.base import Problem
from reconciler.host.supervisors.environment import own_environment
from reconciler.host.supervisors.given_up import GivenUp
from reconciler.host.supervisors.guarding import Duties, guard_argv, write_duties

if TYPE_CHECKING:
    import psutil

_GUARD = "modelctl-guard"
_ANSWER_SECONDS = 60.0
_JOB_SECONDS = 600.0
"""An upper bound only: PM2 itself kills after each unit's kill_timeout."""

_STATES = {
    "online": UnitState.RUNNING,
    "launching": UnitState.STARTING,
    "one-launch-status": UnitState.STARTING,
    "waiting restart": UnitState.RESTARTING,
    "stopping": UnitState.STOPPED,
    "stopped": UnitState.STOPPED,
    "errored": UnitState.STOPPED,
}
"""`errored` alone only says that PM2 had to kill the process; for crash loops see `_state_of`."""
_DECORATION = re.compile(r"\x1b\[[0-9;]*m|\[PM2\]|\[ERROR\]|Error: ")
_ALIVE = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)


class Pm2Supervisor:
    """One ecosystem file per unit in `state_directory`/pm2; the guard's duties lie beside that folder.

    `home` is PM2_HOME: that of the environment, else ~/.pm2.
    """

    kind = SupervisorKind.PM2
    journal = False

    def __init__(self, state_directory: Path, home: Path | None = None) -> None:
        self._state = state_directory
        self._units = state_directory / "pm2"
        self._home = home or Path(os.environ.get("PM2_HOME") or Path.home() / ".pm2")
        self._given_up = GivenUp(self._units / "given-up")

    def problem(self) -> Problem | None:
        if shutil.which("pm2") is None:
            return Problem("PM2 is not installed", "npm install --global pm2")
        return None

    def is_running(self) -> bool:
        """Whether the daemon listens; asking by `pm2` itself would start it."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(self._home / "rpc.sock"))
        except OSError:
            return False
        return True

    def ensure_running(self) -> None:
        problem = self.problem()
        if problem is not None:
            raise SupervisorError(problem.what, hint=problem.hint)
        if not self.is_running():
            from reconciler.host.supervisors.orphans import end_orphans  # noqa: PLC0415 - rare

            end_orphans(self._is_unit)
            self._checked(self._pm2("ping"))
        self._keep_guard()

    def unit_path(self, name: UnitName) -> Path:
        return self._units / f"{name}.json"

    def installed(self) -> tuple[UnitName, ...]:
        return tuple(sorted(UnitName(path.stem) for path in self._units.glob("llama@*.json")))

    def reload(self, changed: Sequence[UnitName], removed: Sequence[UnitName]) -> None:
        if removed and self.is_running():
            listed = self._listed()
            self._delete([name for name in removed if name in listed])
        for name in removed:
            self._given_up.forgive(name)
        if changed or removed:
            self._keep_guard()

    def start(self, names: Sequence[UnitName]) -> None:
        if not names:
            return
        listed = self._listed()
        resting = [name for name in names if name in listed and self._state_of(listed[name]) not in _ALIVE]
        self._delete(resting)
        self._launch([name for name in names if name not in listed or name in resting])

    def stop(self, names: Sequence[UnitName]) -> None:
        if not names or not self.is_running():
            return
        listed = self._listed()
        known = [name for name in names if name in listed]
        if known:
            self._checked(self._pm2("stop", *known))
            self._save()
        for name in names:
            self._given_up.forgive(name)

    def restart(self, names: Sequence[UnitName]) -> None:
        """`pm2 restart` would keep the old configuration and counters: forget each and start it anew."""
        if not names:
            return
        listed = self._listed()
        self._delete([name for name in names if name in listed])
        self._launch(names)

    def observe(self, names: Sequence[UnitName]) -> dict[UnitName, UnitStatus]:
        statuses = {name: UnitStatus(name, UnitState.ABSENT) for name in names}
        if not names or not self.is_running():
            return statuses
        listed = self._listed()
        for name in statuses.keys() & listed.keys():
            statuses[name] = self._status(name, listed[name])
        return statuses

    def log(self, name: UnitName, *, lines: int, follow: bool) -> Iterator[str]:
        from reconciler.host.supervisors.tail import tail  # noqa: PLC0415 - only `modelctl logs` reads logs

        try:
            path = self._app(name).get("out_file")
        except FileNotFoundError:
            path = None
        return tail(Path(path), lines=lines, follow=follow) if path else iter(())

    def give_up(self, name: UnitName) -> None:
        """PM2 has no order to fail a program: stop it and remember why."""
        self._given_up.mark(name)
        self._checked(self._pm2("stop", name))
        self._save()

    def _status(self, name: UnitName, process: dict[str, Any]) -> UnitStatus:
        environment = process["pm2_env"]
        state = self._state_of(process)
        if state is UnitState.STOPPED and self._given_up.holds(name):
            state = UnitState.FAILED
        code = environment.get("exit_code")
        return UnitStatus(
            name=name,
            state=state,
            pid=process.get("pid") or None,
            restarts=environment.get("restart_time", 0),
            since=environment["pm_uptime"] / 1000 if state is UnitState.RUNNING else None,
            detail=f"it ended with exit status {code}" if code and state is not UnitState.RUNNING else None,
        )

    @staticmethod
    def _state_of(process: dict[str, Any]) -> UnitState:
        """PM2 gives up on a loop by clearing `created_at`.

        With a restart delay its `status` then reads `waiting restart` for ever, though nothing is waited for.
        """
        environment = process["pm2_env"]
        state = _STATES.get(environment["status"], UnitState.FAILED)
        resting = state in {UnitState.RESTARTING, UnitState.STOPPED}
        return UnitState.FAILED if resting and environment.get("created_at") is None else state

    def _launch(self, names: Sequence[UnitName]) -> None:
        """Start by the files as they are now, all in one call."""
        if not names:
            return
        for name in names:
            self._given_up.forgive(name)
        done = self._start_apps([self._app(name) for name in names])
        self._save()
        if done.returncode != 0:
            listed = self._listed()
            missing = [
                name
                for name in names
                if name not in listed or self._state_of(listed[name]) is UnitState.FAILED
            ]
            raise SupervisorError(
                f"{', '.join(missing or names)} did not start: {_errors(done)}", hint="pm2 logs --err"
            )

    def _start_apps(self, apps: Sequence[dict[str, Any]]) -> Completed:
        with tempfile.NamedTemporaryFile("w", dir=self._units, prefix=".start-", suffix=".json") as file:
            json.dump({"apps": [_without_shell(app) for app in apps]}, file)
            file.flush()
            return self._pm2("start", file.name)

    def _delete(self, names: Sequence[str]) -> None:
        if names:
            self._checked(self._pm2("delete", *names))
            self._save()

    def _save(self) -> None:
        """Remember the list for `pm2 resurrect`, which `pm2 startup` runs at boot."""
        self._checked(self._pm2("save", "--force"))

    def _app(self, name: UnitName) -> dict[str, Any]:
        document = json.loads(self.unit_path(name).read_text(encoding="utf-8"))
        app: dict[str, Any] = document["apps"][0]
        return app

    def _listed(self) -> dict[str, dict[str, Any]]:
        done = self._pm2("jlist")
        self._checked(done)
        # Notices of PM2 may stand before the document.
        start = done.stdout.find("[{")
        processes = json.loads(done.stdout[start:]) if start >= 0 else []
        return {process["name"]: process for process in processes}

    def _is_unit(self, process: "psutil.Process") -> bool:
        environment = process.environ()
        return "MODELCTL_UNIT" in environment and environment.get("PM2_HOME") == str(self._home)

    def _pm2(self, *arguments: str) -> Completed:
        environment = {**own_environment(), "PM2_HOME": str(self._home), "PM2_DISABLE_VERSION_CHECK": "true"}
        slow = arguments[0] in {"start", "stop", "delete"}
        return run(
            ["pm2", *arguments],
            env=environment,
            timeout=_JOB_SECONDS if slow else _ANSWER_SECONDS,
        )

    def _checked(self, done: Completed) -> None:
        if done.returncode != 0:
            raise SupervisorError(f"PM2 refused: {_errors(done)}", hint="pm2 logs PM2")

    def _keep_guard(self) -> None:
        """Our guard runs while there are units; without any it goes."""
        apps = [self._app(name) for name in self.installed()]
        guard = self._listed().get(_GUARD)
        if apps:
            duties = Duties(
                kind=self.kind,
                memory=any("max_memory_restart" in app for app in apps),
                logs=True,
                crashes=True,
            )
            app = self._guard_app(write_duties(self._state, duties))
            path = self._units / f"{_GUARD}.json"
            text = json.dumps({"apps": [app]}, indent=2)
            fresh = path.exists() and path.read_text(encoding="utf-8") == text
            if not fresh or guard is None or self._state_of(guard) not in _ALIVE:
                self._delete([_GUARD] if guard else [])
                atomic_write(path, text, 0o600)
                self._checked(self._start_apps([app]))
                self._save()
        elif guard is not None:
            self._delete([_GUARD])
            (self._units / f"{_GUARD}.json").unlink(missing_ok=True)

    def _guard_app(self, duties: Path) -> dict[str, Any]:
        script, *arguments = guard_argv(duties)
        return {
            "name": _GUARD,
            "script": script,
            "args": arguments,
            "interpreter": "none",
            "cwd": str(Path(__file__).parents[3]),
            "env": {"PM2_HOME": str(self._home)},
            "out_file": str(self._units / "guard.log"),
            "error_file": str(self._units / "guard.log"),
            "merge_logs": True,
            "max_restarts": 1_000_000,
            "exp_backoff_restart_delay": 1000,
            "vizion": False,
            "pmx": False,
        }


def _without_shell(app: dict[str, Any]) -> dict[str, Any]:
    """PM2 gives a script whose path has a blank to `bash -c`, and drops its arguments.

    `nice -n 0` becomes the program that it is given, by its path as it stands.
    """
    if " " not in app["script"]:
        return app
    return {**app, "script": shutil.which("nice"), "args": ["-n", "0", app["script"], *app["args"]]}


def _errors(done: Completed) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
    return " · ".join(_plain(line) for line in lines) or done.complaint


def _plain(line: str) -> str:
    return _DECORATION.sub("", line).strip()
