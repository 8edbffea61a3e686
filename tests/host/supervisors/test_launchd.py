"""The launchd adapter against a launchctl that gives recorded answers. Not yet tried on a Mac."""

import os
from pathlib import Path

import pytest

from reconciler.core.errors import SupervisorError
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind, UnitState
from reconciler.host.supervisors import launchd
from reconciler.host.supervisors.launchd import LaunchdSupervisor
from tests.support.launchd import WAITING, Launchctl
from tests.support.units import rendered

NAME = UnitName("llama@a-max")
TARGET = f"gui/501/{NAME}"


@pytest.fixture
def launchctl(monkeypatch: pytest.MonkeyPatch) -> Launchctl:
    monkeypatch.setattr(launchd, "_DRAIN_POLL_SECONDS", 0.0)
    return Launchctl()


@pytest.fixture
def supervisor(tmp_path: Path, launchctl: Launchctl) -> LaunchdSupervisor:
    agents = tmp_path / "LaunchAgents"
    agents.mkdir()
    return LaunchdSupervisor(tmp_path / "state", agents, "gui/501", launchctl)


def _install(supervisor: LaunchdSupervisor) -> Path:
    path = supervisor.unit_path(NAME)
    path.write_text(
        rendered(SupervisorKind.LAUNCHD, name=NAME, log_path=str(path.with_name("a.log")), user=None)
    )
    return path


def _state(supervisor: LaunchdSupervisor) -> UnitState:
    return supervisor.observe([NAME])[NAME].state


def test_an_installed_unit_is_loaded_by_its_start(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    assert _state(supervisor) is UnitState.ABSENT
    path = _install(supervisor)
    assert supervisor.installed() == (NAME,)
    assert _state(supervisor) is UnitState.STOPPED

    supervisor.start([NAME])
    assert launchctl.orders() == [f"enable {TARGET}", f"bootstrap gui/501 {path}"]
    status = supervisor.observe([NAME])[NAME]
    assert (status.state, status.pid, status.restarts) == (UnitState.RUNNING, os.getpid(), 0)
    assert status.since is not None


def test_starting_a_running_unit_changes_nothing(supervisor: LaunchdSupervisor, launchctl: Launchctl) -> None:
    _install(supervisor)
    supervisor.start([NAME])
    before = launchctl.orders()
    supervisor.start([NAME])
    assert launchctl.orders() == before


def test_a_loaded_unit_without_a_process_is_kicked(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    launchctl.loaded[TARGET] = WAITING
    supervisor.start([NAME])
    assert launchctl.orders() == [f"kickstart {TARGET}"]


def test_a_restart_loads_the_file_anew_and_waits_out_the_drain(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    path = _install(supervisor)
    supervisor.start([NAME])
    launchctl.calls.clear()
    launchctl.draining = 2
    supervisor.restart([NAME])
    assert launchctl.orders() == [
        f"bootout {TARGET}",
        f"enable {TARGET}",
        *[f"bootstrap gui/501 {path}"] * 3,
    ]
    assert _state(supervisor) is UnitState.RUNNING


def test_a_drain_that_never_ends_is_an_error(
    supervisor: LaunchdSupervisor, launchctl: Launchctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchd, "_DRAIN_SECONDS", 0.05)
    _install(supervisor)
    launchctl.draining = 1_000_000
    with pytest.raises(SupervisorError, match="Bootstrap failed: 5"):
        supervisor.start([NAME])


def test_a_stopped_unit_is_stopped_and_not_absent(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    _install(supervisor)
    supervisor.start([NAME])
    supervisor.stop([NAME])
    assert _state(supervisor) is UnitState.STOPPED
    supervisor.stop([NAME])  # twice is no error


def test_a_crashed_unit_waits_for_its_restart_and_is_counted(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    launchctl.loaded[TARGET] = WAITING
    status = supervisor.observe([NAME])[NAME]
    assert (status.state, status.restarts) == (UnitState.RESTARTING, 3)
    assert status.detail == "it ended with exit status 78: EX_CONFIG"


def test_a_unit_that_was_given_up_is_failed_until_it_is_started(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    _install(supervisor)
    supervisor.start([NAME])
    supervisor.give_up(NAME)
    assert TARGET not in launchctl.loaded
    assert _state(supervisor) is UnitState.FAILED
    supervisor.start([NAME])
    assert _state(supervisor) is UnitState.RUNNING


def test_a_removed_unit_is_absent_and_the_guard_leaves_with_the_last(
    supervisor: LaunchdSupervisor, launchctl: Launchctl
) -> None:
    path = _install(supervisor)
    supervisor.reload([NAME], [])
    assert "gui/501/modelctl-guard" in launchctl.loaded
    supervisor.start([NAME])

    supervisor.stop([NAME])
    path.unlink()
    supervisor.reload([], [NAME])
    assert _state(supervisor) is UnitState.ABSENT
    assert not launchctl.loaded
    assert list(path.parent.iterdir()) == []


def test_an_unchanged_guard_is_not_touched(supervisor: LaunchdSupervisor, launchctl: Launchctl) -> None:
    _install(supervisor)
    supervisor.reload([NAME], [])
    launchctl.calls.clear()
    supervisor.reload([NAME], [])
    assert launchctl.orders() == []


def test_the_log_is_the_file_that_the_property_list_names(supervisor: LaunchdSupervisor) -> None:
    path = _install(supervisor)
    path.with_name("a.log").write_text("one\ntwo\n")
    assert list(supervisor.log(NAME, lines=1, follow=False)) == ["two"]
    assert list(supervisor.log(UnitName("llama@other-max"), lines=1, follow=False)) == []
