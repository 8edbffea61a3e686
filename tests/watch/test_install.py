"""The watcher's unit as text, for every supervisor; tests/e2e starts it under those that run here."""

import json
import os
import plistlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.core.errors import SpecError
from reconciler.core.units import SupervisorKind
from reconciler.host.supervisors.launchd import LaunchdSupervisor
from reconciler.reconcile.site import Site, open_site
from reconciler.spec.settings import Settings
from reconciler.watch.install import NAME, install, render, uninstall
from tests.support.launchd import Launchctl
from tests.support.systemd import need_systemd

FOLDER = Path("/srv/my specs/100% $HOME")
ENVIRONMENT = {"PATH": "/opt/my tools:/usr/bin", "HF_TOKEN": "secret", "MODELCTL_STORE": "/srv/store"}


class FakeSupervisor:
    """Only the property that rendering asks for."""

    journal = False


def site(kind: SupervisorKind, store: str = "/srv/store") -> Site:
    made = open_site(Settings(supervisor=kind.value), Path("/srv/spec"), {"MODELCTL_STORE": store})
    made.__dict__["supervisor"] = FakeSupervisor()  # a cached property: launchd is not here to be opened
    return made


def rendered(kind: SupervisorKind) -> str:
    return render(site(kind), FOLDER, ["--follow", "commit"], ENVIRONMENT)


ARGV = [sys.executable, "-m", "reconciler.cli", "watch", "--spec", str(FOLDER), "--follow", "commit"]


def test_launchd() -> None:
    unit = plistlib.loads(rendered(SupervisorKind.LAUNCHD).encode())
    assert unit["Label"] == NAME
    assert unit["ProgramArguments"] == ARGV
    assert unit["EnvironmentVariables"]["PATH"] == ENVIRONMENT["PATH"]
    assert unit["KeepAlive"] is True


def test_pm2() -> None:
    [app] = json.loads(rendered(SupervisorKind.PM2))["apps"]
    assert [app["script"], *app["args"]] == ARGV
    assert app["env"]["MODELCTL_STORE"] == "/srv/store"


@pytest.mark.parametrize("kind", [SupervisorKind.SYSTEMD, SupervisorKind.SYSTEMD_USER])
def test_systemd(kind: SupervisorKind) -> None:
    lines = rendered(kind).splitlines()
    [command] = [line.removeprefix("ExecStart=:") for line in lines if line.startswith("ExecStart=")]
    assert shlex.split(command.replace("%%", "%")) == ARGV
    assert {"Type=notify", "WatchdogSec=60", "KillMode=mixed", "Restart=always"} <= set(lines)
    target = "default.target" if kind is SupervisorKind.SYSTEMD_USER else "multi-user.target"
    assert f"WantedBy={target}" in lines


def test_supervisord() -> None:
    lines = rendered(SupervisorKind.SUPERVISORD).splitlines()
    [command] = [line.removeprefix("command=") for line in lines if line.startswith("command=")]
    assert shlex.split(command.replace("%%", "%")) == ARGV
    assert f"stdout_logfile=/srv/store/state/logs/{NAME}.log" in lines


@pytest.mark.parametrize("kind", list(SupervisorKind))
def test_no_secret_and_nothing_that_could_add_a_line(kind: SupervisorKind) -> None:
    assert "secret" not in rendered(kind)
    with pytest.raises(SpecError, match="U\\+000A"):
        render(site(kind), Path("/srv/a\nExecStartPre=/bin/true"), [], ENVIRONMENT)


def test_the_same_installation_renders_the_same_text() -> None:
    assert rendered(SupervisorKind.SYSTEMD) == rendered(SupervisorKind.SYSTEMD)
    other = render(site(SupervisorKind.SYSTEMD, "/srv/other"), FOLDER, [], ENVIRONMENT)
    assert "/srv/other/state/logs" in other


def test_launchd_loads_the_watcher_and_lets_models_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a Mac would be told, and what not: no order names a model's service."""
    program = tmp_path / "bin" / "launchctl"
    program.parent.mkdir()
    program.touch(0o700)
    monkeypatch.setenv("PATH", str(program.parent))
    launchctl = Launchctl()
    agents = tmp_path / "LaunchAgents"
    agents.mkdir()
    made = site(SupervisorKind.LAUNCHD, str(tmp_path / "store"))
    made.__dict__["supervisor"] = LaunchdSupervisor(tmp_path / "state", agents, "gui/501", launchctl)
    target, path = f"gui/501/{NAME}", agents / f"{NAME}.plist"
    loads = [f"enable {target}", f"bootstrap gui/501 {path}"]

    told = install(made, FOLDER, [], system=False)
    assert told.path == str(path)
    assert launchctl.orders() == [f"bootout {target}", *loads]
    assert plistlib.loads(path.read_bytes())["ProgramArguments"] == ARGV[:-2]

    launchctl.calls.clear()
    install(made, FOLDER, ["--follow", "worktree"], system=False)
    assert launchctl.orders() == [f"bootout {target}", *loads]
    assert plistlib.loads(path.read_bytes())["ProgramArguments"][-1] == "worktree"

    launchctl.calls.clear()
    uninstall(made, system=False)
    assert set(launchctl.orders()) == {f"bootout {target}"}
    assert not path.exists()
    assert not launchctl.loaded


@pytest.mark.parametrize("log", [True, False], ids=["log file", "journal"])
@pytest.mark.parametrize("kind", [SupervisorKind.SYSTEMD, SupervisorKind.SYSTEMD_USER])
def test_systemd_has_no_word_of_complaint(kind: SupervisorKind, log: bool, tmp_path: Path) -> None:
    need_systemd()
    made = site(kind)
    made.supervisor.journal = not log
    path = tmp_path / f"{NAME}.service"
    path.write_text(render(made, FOLDER, ["--every", "60s"], ENVIRONMENT), encoding="utf-8")
    scope = "--user" if kind is SupervisorKind.SYSTEMD_USER else "--system"
    tmp_path.chmod(0o700)
    done = subprocess.run(
        ["systemd-analyze", scope, "verify", str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_system_enables_the_watcher_for_its_next_boot(tmp_path: Path) -> None:
    """By systemctl itself, in a root folder where no manager runs."""
    need_systemd()
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / f"{NAME}.service").write_text(rendered(SupervisorKind.SYSTEMD), encoding="utf-8")
    systemctl = ("systemctl", f"--root={tmp_path}")
    subprocess.run((*systemctl, "enable", NAME), check=True, capture_output=True)
    link = units / "multi-user.target.wants" / f"{NAME}.service"
    assert link.readlink() == Path("/etc/systemd/system", f"{NAME}.service")
    asked = subprocess.run((*systemctl, "is-enabled", NAME), check=True, capture_output=True, text=True)
    assert asked.stdout == "enabled\n"
    subprocess.run((*systemctl, "disable", NAME), check=True, capture_output=True)
    assert not link.is_symlink()
