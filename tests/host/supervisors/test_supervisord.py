"""What only our supervisord has to stand: being killed, being started twice, odd folders."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from reconciler.core.errors import SupervisorError
from reconciler.core.types import UnitName
from reconciler.core.units import UnitState
from reconciler.host.supervisors.supervisord import SupervisordSupervisor
from tests.support.supervisors import SLEEP, Box, is_alive
from tests.support.waiting import wait_until


def _daemon(box: Box) -> psutil.Process:
    return psutil.Process(int((box.folder / "supervisord" / "supervisord.pid").read_text()))


def test_a_killed_daemon_is_replaced_and_runs_each_unit_once(supervisord: Box) -> None:
    name = supervisord.running()
    orphan = supervisord.pid(name)
    _daemon(supervisord).kill()
    wait_until(lambda: not supervisord.supervisor.is_running(), what="the end of the daemon")
    assert supervisord.status(name).state is UnitState.ABSENT
    assert psutil.pid_exists(orphan)

    supervisord.supervisor.ensure_running()
    supervisord.wait_for(name, UnitState.RUNNING)
    assert supervisord.pid(name) != orphan
    assert not is_alive(orphan)


def test_a_daemon_that_does_not_answer_gets_no_second_one_beside_it(
    supervisord: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = supervisord.running()
    before, daemon = supervisord.pid(name), _daemon(supervisord)
    monkeypatch.setattr("reconciler.host.supervisors.supervisord._ANSWER_SECONDS", 0.2)
    daemon.suspend()
    try:
        with pytest.raises(SupervisorError, match="does not answer"):
            supervisord.supervisor.is_running()
        with pytest.raises(SupervisorError, match="does not answer"):
            supervisord.supervisor.ensure_running()
    finally:
        daemon.resume()
    monkeypatch.undo()
    assert supervisord.supervisor.is_running()
    assert _daemon(supervisord) == daemon
    assert supervisord.pid(name) == before


def test_units_start_again_after_a_clean_end(supervisord: Box) -> None:
    name = supervisord.running()
    assert isinstance(supervisord.supervisor, SupervisordSupervisor)
    supervisord.supervisor.shut_down()
    assert not supervisord.supervisor.is_running()
    supervisord.supervisor.ensure_running()
    supervisord.wait_for(name, UnitState.RUNNING)


def test_many_may_start_the_daemon_at_once(short_folder: Path) -> None:
    supervisor = SupervisordSupervisor(short_folder / "supervisord")
    failures: list[Exception] = []

    def start() -> None:
        try:
            supervisor.ensure_running()
        except SupervisorError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert not failures
        assert supervisor.is_running()
    finally:
        supervisor.shut_down()


def test_the_daemon_keeps_nothing_of_how_it_was_found(supervisord: Box) -> None:
    process = psutil.Process(supervisord.pid(supervisord.running()))
    wait_until(lambda: process.cmdline() == list(SLEEP), what="the program")
    assert "PYTHONPATH" not in process.environ()


def test_a_folder_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    supervisor = SupervisordSupervisor(tmp_path / ("x" * 100))
    problem = supervisor.problem()
    assert problem is not None
    assert "too long" in problem.what
    assert "settings.store" in problem.hint
    with pytest.raises(SupervisorError, match="too long"):
        supervisor.ensure_running()


def test_the_longest_folder_that_is_allowed_works(short_folder: Path) -> None:
    spare = 107 - len(".4194304") - len("/sock") - len(str(short_folder)) - 1
    supervisor = SupervisordSupervisor(short_folder / ("x" * spare))
    assert supervisor.problem() is None
    assert SupervisordSupervisor(short_folder / ("x" * (spare + 1))).problem() is not None
    supervisor.ensure_running()
    supervisor.shut_down()


def test_a_folder_with_a_blank_works(short_folder: Path) -> None:
    supervisor = SupervisordSupervisor(short_folder / "a b é")
    supervisor.ensure_running()
    supervisor.shut_down()


@pytest.mark.parametrize("character", "*?[]%;#")
def test_a_folder_that_supervisord_would_misread_is_refused(character: str, tmp_path: Path) -> None:
    problem = SupervisordSupervisor(tmp_path / f"a{character}b").problem()
    assert problem is not None
    assert "syntax" in problem.what


def test_orders_without_a_daemon_say_what_to_do(short_folder: Path) -> None:
    supervisor = SupervisordSupervisor(short_folder / "supervisord")
    name = UnitName("llama@a-max")
    supervisor.stop([name])
    with pytest.raises(SupervisorError, match="does not run") as caught:
        supervisor.start([name])
    assert caught.value.hint == "modelctl apply starts it"


def test_a_log_folder_that_vanished_breaks_nobody(supervisord: Box) -> None:
    first = supervisord.running("a")
    second = supervisord.unit("b", log_path=str(supervisord.folder / "gone" / "b.log"))
    supervisord.supervisor.reload([second], [])
    supervisord.supervisor.start([second])
    supervisord.wait_for(second, UnitState.RUNNING)
    assert supervisord.status(first).state is UnitState.RUNNING


def test_a_restart_is_finished_even_if_the_caller_dies(supervisord: Box) -> None:
    """The daemon alone owns the order: it was given by one call that returned at once."""
    name = supervisord.running(
        argv=("/bin/sh", "-c", "trap 'sleep 0.5; exit' TERM; while :; do sleep 0.05; done")
    )
    pid = supervisord.pid(name)
    supervisor = supervisord.supervisor
    assert isinstance(supervisor, SupervisordSupervisor)
    supervisor._call("modelctl.restart", [name])
    wait_until(lambda: supervisord.status(name).pid not in {None, pid}, what="a new process")


def test_a_crash_during_a_restart_by_supervisorctl_counts_from_zero(supervisord: Box) -> None:
    name = supervisord.running()
    os.kill(supervisord.pid(name), signal.SIGKILL)
    wait_until(lambda: supervisord.status(name).restarts == 1, what="a restart")
    supervisord.by_hand("restart", name)
    assert supervisord.status(name).restarts == 0


def test_a_killed_process_is_missed_at_once(supervisord: Box) -> None:
    """Its output stays open in a child, so that nothing but the signal tells supervisord of its end."""
    mark = supervisord.folder / "began"
    name = supervisord.running(
        argv=("/bin/sh", "-c", f"sleep 3 & touch {mark}; exec sleep 1000"),
        working_directory=str(supervisord.folder),
    )
    for _ in range(3):
        wait_until(mark.exists, what="the program")
        # The question wakes its loop, which then sleeps for a second; looking on would wake it again.
        pid = supervisord.pid(name)
        mark.unlink()
        begin = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_until(mark.exists, what="the next process")
        assert time.monotonic() - begin < 0.8
        mark.unlink()
        supervisord.supervisor.restart([name])
