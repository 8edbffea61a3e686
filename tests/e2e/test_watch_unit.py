"""The watcher as a unit of its own, under real supervisors."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from reconciler.core.restarts import CRASHES
from reconciler.core.types import UnitName
from tests.support.staging import Stage, staged
from tests.support.waiting import wait_until
from tests.support.watching import events, watching
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

UNIT = UnitName("modelctl-watch")


@pytest.fixture(params=["supervisord", "systemd-user", "pm2"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    manager = request.getfixturevalue("manager") if request.param == "systemd-user" else None
    with staged(request.param, manager) as made:
        yield made


def test_it_installs_itself_survives_a_kill_follows_and_goes_again(stage: Stage) -> None:
    workspace = stage.workspace
    a = workspace.add("a")
    workspace.write()
    told = workspace.json("watch", "--install", codes=(0,))
    assert told["file"] == str(stage.unit_file(UNIT))
    wait_until(lambda: workspace.json("status")["in_sync"], 30, "in sync")
    pid = _watcher(workspace)
    served = workspace.runtimes()["a"]["pid"]

    workspace.edit("a", "context_tokens: 512", "context_tokens: 768")
    wait_until(lambda: _serves_newest(workspace), 30, "the first commit")
    changed = workspace.runtimes()["a"]["pid"]
    assert changed != served

    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _watcher(workspace) not in {None, pid}, 30, "return")
    assert workspace.runtimes()["a"]["pid"] == changed
    workspace.edit("a", "context_tokens: 768", "context_tokens: 1024")
    wait_until(lambda: _serves_newest(workspace), 30, "the second commit")
    served = workspace.runtimes()["a"]["pid"]
    assert served != changed

    # It goes also while the spec does not load.
    (workspace.spec / "models.yaml").write_text("models: [")
    workspace.json("watch", "--uninstall", codes=(0,))
    workspace.git("restore", ".")
    assert not stage.unit_file(UNIT).exists()
    assert _watcher(workspace) is None
    assert workspace.runtimes()["a"]["pid"] == served
    assert chat(a.port) == "I am a, version 1."
    assert "is not installed" in workspace.ok("watch", "--uninstall")


def test_installed_again_it_is_replaced_and_models_go_on(stage: Stage) -> None:
    workspace = stage.workspace
    workspace.add("a")
    workspace.up()
    served = workspace.runtimes()["a"]["pid"]
    workspace.ok("watch", "--install")
    wait_until(lambda: _watcher(workspace) is not None, 30, "the watcher")
    first = _watcher(workspace)
    workspace.ok("watch", "--install", "--prune")
    wait_until(lambda: _watcher(workspace) not in {None, first}, 30, "the next watcher")
    assert first is not None
    assert not psutil.pid_exists(first)
    assert workspace.json("status")["watcher"]["prune"] is True
    assert workspace.runtimes()["a"]["pid"] == served


def test_what_its_supervisor_gave_up_the_watcher_starts_again(stage: Stage) -> None:
    """A loop of crashes ends within seconds where the supervisor cannot wait longer each time."""
    workspace = stage.workspace
    a = workspace.add("a")
    workspace.up()
    with watching(workspace) as watcher:
        watcher.wait_for("watch_began")
        killed: set[int] = set()

        def given_up() -> bool:
            pid = workspace.runtimes()["a"]["pid"]
            if pid is not None and pid not in killed and len(killed) < CRASHES:
                killed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return any(event["type"] == "runtime_gave_up" for event in events(workspace))

        wait_until(given_up, 60, "the supervisor's surrender")
        wait_until(lambda: workspace.runtimes()["a"]["ready"], 60, "its return")
        assert chat(a.port) == "I am a, version 1."
        assert workspace.runtimes()["a"]["pid"] not in killed


def test_system_scope_needs_models_of_the_system(stage: Stage) -> None:
    stage.workspace.add("a")
    stage.workspace.write()
    done = stage.workspace.run("watch", "--install", "--system")
    assert done.returncode == 2
    assert "settings.supervisor: systemd" in done.stderr


@pytest.mark.parametrize("stage", ["systemd-user"], indirect=True)
def test_systemd_is_told_how_it_is_and_ends_it_when_it_is_told_nothing(stage: Stage) -> None:
    """READY, STATUS and WATCHDOG, as systemd itself understands them."""
    workspace = stage.workspace
    workspace.add("a")
    workspace.write()
    verdicts = workspace.root / "verdicts"
    override = stage.unit_file(UNIT).with_name(f"{UNIT}.service.d") / "short.conf"
    override.parent.mkdir()
    tell = f"/bin/sh -c 'echo $SERVICE_RESULT $EXIT_STATUS >> {verdicts}'"
    override.write_text(f"[Service]\nWatchdogSec=2\nExecStopPost={tell}\n")
    try:
        # Type=notify: the start would fail without READY=1.
        workspace.ok("watch", "--install")
        assert _shown(workspace, "ActiveState", "WatchdogUSec") == ["active", "2s"]
        wait_until(lambda: "following" in _shown(workspace, "StatusText")[0], 30, "its status line")
        wait_until(lambda: workspace.json("status")["in_sync"], 30, "in sync")
        served = workspace.runtimes()["a"]["pid"]
        pid = int(_shown(workspace, "MainPID")[0])
        fed = _watchdog_stamp(workspace)
        wait_until(lambda: _watchdog_stamp(workspace) > fed, 10, "WATCHDOG=1")
        assert _shown(workspace, "NRestarts", "MainPID") == ["0", str(pid)]

        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: _shown(workspace, "NRestarts") == ["1"], 30, "systemd's verdict")
        wait_until(lambda: _shown(workspace, "ActiveState") == ["active"], 30, "READY=1 of the next")
        assert not psutil.pid_exists(pid)
        assert verdicts.read_text() == "watchdog ABRT\n"
        wait_until(lambda: _watcher(workspace) not in {None, pid}, 30, "the next watcher")
        assert workspace.runtimes()["a"]["pid"] == served
    finally:
        override.unlink()
        override.parent.rmdir()


def _watcher(workspace: Workspace) -> int | None:
    watcher = workspace.json("status")["watcher"]
    return None if watcher is None else int(watcher["pid"])


def _serves_newest(workspace: Workspace) -> bool:
    """Whether the newest commit was applied, and all that it wants is ready."""
    status = workspace.json("status")
    newest = workspace.git("rev-parse", "HEAD")
    ready = all(row["ready"] for row in status["runtimes"])
    return bool(ready and status["in_sync"] and status["applied"].get("revision") == newest)


def _shown(workspace: Workspace, *properties: str) -> list[str]:
    """Values that `systemctl show` gives, in the order asked for."""
    shown = subprocess.run(
        ("systemctl", "--user", "show", f"--property={','.join(properties)}", f"{UNIT}.service"),
        env=workspace.env(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines())
    return [values[name] for name in properties]


def _watchdog_stamp(workspace: Workspace) -> int:
    """When systemd last heard WATCHDOG=1, in microseconds."""
    return int(_shown(workspace, "WatchdogTimestampMonotonic")[0])
