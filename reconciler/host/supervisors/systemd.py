"""systemd through `systemctl`: the system's manager, or the user's own."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from reconciler.core.errors import ModelctlError, SupervisorError
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitState, UnitStatus
from reconciler.host.files import atomic_write
from reconciler.host.process import Completed, run
from reconciler.host.supervisors.base import Problem
from reconciler.host.supervisors.guarding import Duties, guard_argv, write_duties
from reconciler.host.supervisors.systemd_status import PROPERTIES, read_status

_SUFFIX = ".service"
_GUARD = "modelctl-guard" + _SUFFIX
_ANSWER_SECONDS = 30.0
_JOB_SECONDS = 600.0
"""An upper bound only: systemd itself kills after each unit's stop timeout."""
_NOT_LOADED = 5
"""Exit status of systemctl when a named unit is unknown."""
_CGROUPS = Path("/sys/fs/cgroup")


class Scope(StrEnum):
    SYSTEM = "system"
    USER = "user"


class SystemdSupervisor:
    """`unit_directory` is where the manager reads unit files; `state_directory` holds the guard's duties."""

    def __init__(self, scope: Scope, unit_directory: Path, state_directory: Path) -> None:
        self.kind = SupervisorKind.SYSTEMD if scope is Scope.SYSTEM else SupervisorKind.SYSTEMD_USER
        self.journal = Path("/run/systemd/journal/socket").exists()
        self._units = unit_directory
        self._state = state_directory
        self._scope = scope
        self._target = "multi-user.target" if scope is Scope.SYSTEM else "default.target"

    def problem(self) -> Problem | None:
        if shutil.which("systemctl") is None:
            return Problem("systemctl is not installed", "set settings.supervisor: supervisord in the spec")
        if self._scope is Scope.SYSTEM and os.geteuid() != 0:
            return Problem(
                "only root may change the system's units",
                "run modelctl as root, or set settings.supervisor: systemd-user in the spec",
            )
        answer = self._ask_version()
        if answer.returncode != 0:
            hint = (
                "log in with a full session, or: sudo loginctl enable-linger $USER"
                if self._scope is Scope.USER
                else "set settings.supervisor: supervisord in the spec"
            )
            return Problem(f"the systemd {self._scope} manager does not answer: {answer.complaint}", hint)
        return None

    def is_running(self) -> bool:
        return self._ask_version().returncode == 0

    def ensure_running(self) -> None:
        problem = self.problem()
        if problem is not None:
            raise SupervisorError(problem.what, hint=problem.hint)
        self._keep_guard()

    def unit_path(self, name: UnitName) -> Path:
        return self._units / f"{name}{_SUFFIX}"

    def installed(self) -> tuple[UnitName, ...]:
        return tuple(sorted(UnitName(path.stem) for path in self._units.glob(f"llama@*{_SUFFIX}")))

    def reload(self, changed: Sequence[UnitName], removed: Sequence[UnitName]) -> None:
        if not changed and not removed:
            return
        for name in removed:
            self._enabling_link(f"{name}{_SUFFIX}").unlink(missing_ok=True)
        if changed:
            self._order("enable", changed, "--no-reload", timeout=_ANSWER_SECONDS)
        self._checked(self._systemctl("daemon-reload", timeout=_JOB_SECONDS))
        self._keep_guard()

    def start(self, names: Sequence[UnitName]) -> None:
        self._begin("start", names)

    def stop(self, names: Sequence[UnitName]) -> None:
        if not names:
            return
        done = self._systemctl("stop", *_units_of(names), timeout=_JOB_SECONDS)
        if done.returncode not in {0, _NOT_LOADED}:
            self._checked(done)
        # A service that ends badly when asked to stop would be remembered as failed.
        self._forgive(names)

    def restart(self, names: Sequence[UnitName]) -> None:
        self._begin("restart", names)

    def observe(self, names: Sequence[UnitName]) -> dict[UnitName, UnitStatus]:
        statuses = {name: UnitStatus(name, UnitState.ABSENT) for name in names}
        if not names:
            return statuses
        done = self._systemctl(
            "show", f"--property={','.join(PROPERTIES)}", *_units_of(names), timeout=_ANSWER_SECONDS
        )
        if done.returncode != 0:
            if not self.is_running():
                return statuses
            self._checked(done)
        boot = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        for block in done.stdout.split("\n\n"):
            properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            name = UnitName(properties.get("Id", "").removesuffix(_SUFFIX))
            if name in statuses:
                statuses[name] = read_status(name, properties, boot=boot)
        return statuses

    def log(self, name: UnitName, *, lines: int, follow: bool) -> Iterator[str]:
        from reconciler.host.supervisors.tail import tail  # noqa: PLC0415 - only `modelctl logs` reads logs

        path = self._log_path(name)
        if path is not None:
            return tail(path, lines=lines, follow=follow)
        return self._journal_lines(name, lines, follow=follow)

    def _begin(self, verb: str, names: Sequence[UnitName]) -> None:
        if not names:
            return
        # Ordered starts must not count as crashes, and a unit that was given up may be tried again.
        self._forgive(names)
        done = self._systemctl(verb, *_units_of(names), timeout=_JOB_SECONDS)
        if done.returncode == 0:
            return
        failed = [
            f"{name} did not start: {status.detail or status.state}"
            for name, status in self.observe(names).items()
            if status.state not in {UnitState.RUNNING, UnitState.STARTING}
        ]
        raise SupervisorError("; ".join(failed) or done.complaint, hint=f"modelctl logs {names[0]}")

    def _forgive(self, names: Sequence[UnitName]) -> None:
        """Reset crash counters; that systemd does not know a unit yet is no matter."""
        self._systemctl("reset-failed", *_units_of(names), timeout=_ANSWER_SECONDS)

    def _order(self, verb: str, names: Sequence[UnitName], *options: str, timeout: float) -> None:
        self._checked(self._systemctl(verb, *options, *_units_of(names), timeout=timeout))

    def _systemctl(self, *arguments: str, timeout: float) -> Completed:
        return run(["systemctl", f"--{self._scope}", "--no-ask-password", *arguments], timeout=timeout)

    def _checked(self, done: Completed) -> None:
        if done.returncode != 0:
            raise SupervisorError(f"systemd refused: {done.complaint}", hint="modelctl doctor")

    def _ask_version(self) -> Completed:
        try:
            return self._systemctl("show", "--property=Version", timeout=_ANSWER_SECONDS)
        except ModelctlError as error:
            return Completed(("systemctl",), 1, "", error.what)

    def _enabling_link(self, unit: str) -> Path:
        return self._units / f"{self._target}.wants" / unit

    def _log_path(self, name: UnitName) -> Path | None:
        try:
            text = self.unit_path(name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        for line in text.splitlines():
            if line.startswith("StandardOutput=append:"):
                return Path(line.removeprefix("StandardOutput=append:").replace("%%", "%"))
        return None

    def _journal_lines(self, name: UnitName, lines: int, *, follow: bool) -> Iterator[str]:
        unit = ("--user-unit" if self._scope is Scope.USER else "--unit") + f"={name}{_SUFFIX}"
        argv = ["journalctl", unit, "--output=cat", "--no-pager", f"--lines={lines}"]
        argv += ["--user"] if self._scope is Scope.USER else []
        argv += ["--follow"] if follow else []
        try:
            reader = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace"
            )
        except FileNotFoundError as error:
            raise SupervisorError("journalctl is not installed", hint="install systemd's journal") from error
        try:
            assert reader.stdout is not None  # noqa: S101 - by PIPE above
            for line in reader.stdout:
                yield line.rstrip("\n")
        finally:
            reader.terminate()
            reader.wait()

    def _keep_guard(self) -> None:
        """Our guard runs while a unit needs what this manager does not do; without such units it goes."""
        texts = [
            path.read_text(encoding="utf-8")
            for path in (self.unit_path(name) for name in self.installed())
            if path.exists()
        ]
        duties = Duties(
            kind=self.kind,
            memory=any("\nMemoryMax=" in text for text in texts) and not self._limits_memory(),
            logs=any("\nStandardOutput=append:" in text for text in texts),
            crashes=False,
        )
        unit = self._units / _GUARD
        if duties.any:
            text = _guard_unit(write_duties(self._state, duties), self._target)
            fresh = unit.exists() and unit.read_text(encoding="utf-8") == text
            if not fresh:
                atomic_write(unit, text, 0o644)
                self._checked(self._systemctl("enable", "--no-reload", _GUARD, timeout=_ANSWER_SECONDS))
                self._checked(self._systemctl("daemon-reload", timeout=_JOB_SECONDS))
            # After an upgrade that moved us, a guard that runs on is one whose code may go any time.
            self._checked(self._systemctl("start" if fresh else "restart", _GUARD, timeout=_JOB_SECONDS))
        elif unit.exists():
            self._checked(self._systemctl("disable", "--now", _GUARD, timeout=_JOB_SECONDS))
            unit.unlink()
            self._checked(self._systemctl("daemon-reload", timeout=_JOB_SECONDS))

    def _limits_memory(self) -> bool:
        """Whether MemoryMax= of this manager's units has any effect."""
        if self._scope is Scope.SYSTEM and (_CGROUPS / "memory").is_dir():
            return True
        group = self._systemctl(
            "show", "--property=ControlGroup", "--value", timeout=_ANSWER_SECONDS
        ).stdout.strip()
        if self._scope is Scope.USER and not group.strip("/"):
            return False
        try:
            controllers = (_CGROUPS / group.strip("/") / "cgroup.controllers").read_text(encoding="ascii")
        except OSError:
            return False
        return "memory" in controllers.split()


def _units_of(names: Sequence[UnitName]) -> list[str]:
    return [f"{name}{_SUFFIX}" for name in names]


def _guard_unit(duties: Path, target: str) -> str:
    argv = " ".join('"' + word.replace("\\", "\\\\").replace("%", "%%") + '"' for word in guard_argv(duties))
    package = str(Path(__file__).parents[3]).replace("%", "%%")
    return f"""\
# Written by modelctl. Enforces memory limits and rotates logs where systemd cannot.
[Unit]
Description=modelctl guard

[Service]
Type=exec
ExecStart=:{argv}
WorkingDirectory={package}
Restart=always
RestartSec=5
NoNewPrivileges=yes

[Install]
WantedBy={target}
"""


def user_unit_directory() -> Path:
    """Where the user's manager reads the user's own units."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "systemd" / "user"
