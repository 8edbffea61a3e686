"""What every supervisor must do for us, seen on real ones."""

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time

import psutil
import pytest

from reconciler.core.errors import SupervisorError
from reconciler.core.restarts import DELAY_MILLISECONDS, LOG_BYTES
from reconciler.core.types import UnitName
from reconciler.core.units import UnitState
from tests.support.supervisors import SLEEP, Box, is_alive
from tests.support.waiting import wait_until

_MIB = 1024 * 1024
_DUMP = (
    "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ), os.getcwd()], open(sys.argv[1], 'w'))"
)
_NASTY = (
    "", " ", "a b", "'", '"', "\\", "a\\", "%", "%h", "%(here)s", "%%", "$HOME", "${HOME}", "$$", ";", "#x",
    " ; #x", "é ü 漢", "-x", "--a=b c", "*", "~", "`id`", "&&", "{{ x }}", "<a>&amp;", "\u00a0", "C:\\new",
    "=", ",", "[x]",
)  # fmt: skip
_TRICKY = "ab \"'\\%$;#(){}<>&=,:!~*?[]-_\u00e9\u2003"


def _nasty_arguments() -> tuple[str, ...]:
    chance = random.Random(1)
    return (*_NASTY, *("".join(chance.choices(_TRICKY, k=chance.randint(1, 12))) for _ in range(300)))


def _wait_for_command(pid: int, *argv: str) -> None:
    """A supervisor may show a process as running before it has been executed."""
    wait_until(lambda: psutil.Process(pid).cmdline() == list(argv), what=f"{argv} as process {pid}")


def test_an_installed_unit_waits_for_its_start_and_then_runs(box: Box) -> None:
    name = box.unit()
    box.supervisor.reload([name], [])
    assert box.status(name).state in {UnitState.STOPPED, UnitState.ABSENT}
    assert box.supervisor.installed() == (name,)

    before = time.time()
    box.supervisor.start([name])
    box.wait_for(name, UnitState.RUNNING)
    status = box.status(name)
    assert status.pid is not None
    _wait_for_command(status.pid, "/bin/sleep", "1000")
    assert status.restarts == 0
    assert status.since is not None
    assert before - 2 < status.since < time.time() + 2


def test_an_unknown_unit_is_absent_and_may_be_stopped(box: Box) -> None:
    name = UnitName("llama@nobody-max")
    assert box.status(name).state is UnitState.ABSENT
    box.supervisor.stop([name])
    assert box.status(name).state is UnitState.ABSENT


def test_starting_a_running_unit_changes_nothing(box: Box) -> None:
    name = box.running()
    pid = box.pid(name)
    box.supervisor.start([name])
    assert box.pid(name) == pid


def test_reloading_and_restarting_one_unit_leaves_the_others_alone(box: Box) -> None:
    first, second = box.running("a"), box.running("b")
    pid = box.pid(second)
    box.unit("a", ("/bin/sleep", "2000"))
    box.supervisor.reload([first], [])
    box.supervisor.restart([first])
    box.wait_for(first, UnitState.RUNNING)
    assert box.pid(second) == pid


def test_a_changed_unit_runs_on_until_it_is_restarted(box: Box) -> None:
    name = box.running()
    pid = box.pid(name)
    box.unit(argv=("/bin/sleep", "2000"))
    box.supervisor.reload([name], [])
    assert box.pid(name) == pid

    box.supervisor.restart([name])
    box.wait_for(name, UnitState.RUNNING)
    assert box.pid(name) != pid
    _wait_for_command(box.pid(name), "/bin/sleep", "2000")
    assert not is_alive(pid)


def test_a_changed_unit_that_was_stopped_starts_as_changed(box: Box) -> None:
    name = box.running()
    box.supervisor.stop([name])
    box.unit(argv=("/bin/sleep", "2000"))
    box.supervisor.reload([name], [])
    box.supervisor.start([name])
    box.wait_for(name, UnitState.RUNNING)
    _wait_for_command(box.pid(name), "/bin/sleep", "2000")


def test_a_killed_process_comes_back_and_is_counted(box: Box) -> None:
    name = box.running()
    pid = box.pid(name)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: box.status(name).pid not in {None, pid}, what="a new process")
    box.wait_for(name, UnitState.RUNNING)
    assert box.status(name).restarts == 1


def test_a_process_that_ends_by_itself_comes_back(box: Box) -> None:
    mark = box.folder / "second"
    name = box.running(
        argv=("/bin/sh", "-c", f"test -e {mark} || {{ touch {mark}; sleep 1; exit 0; }}; exec sleep 99")
    )
    wait_until(lambda: box.status(name).restarts == 1, what="a restart after a clean exit")


@pytest.mark.slow
def test_a_unit_that_someone_stopped_stays_stopped(box: Box) -> None:
    name = box.running()
    pid = box.pid(name)
    box.by_hand("stop", name)
    wait_until(lambda: not is_alive(pid), what="the end of the process")
    box.wait_for(name, UnitState.STOPPED)
    deadline = time.monotonic() + DELAY_MILLISECONDS / 1000 + 4
    while time.monotonic() < deadline:
        status = box.status(name)
        assert (status.state, status.pid) == (UnitState.STOPPED, None)
        time.sleep(0.2)
    box.supervisor.start([name])
    box.wait_for(name, UnitState.RUNNING)


def test_a_unit_that_ends_badly_when_stopped_did_not_fail(box: Box) -> None:
    name = box.running(argv=("/bin/sh", "-c", "trap 'exit 7' TERM INT; while :; do sleep 0.05; done"))
    box.by_hand("stop", name)
    box.wait_for(name, UnitState.STOPPED)


def test_stopping_waits_for_the_end_and_kills_the_deaf(box: Box) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN); "
    ready = box.folder / "ready"
    name = box.running(
        argv=(sys.executable, "-c", deaf + f"open({str(ready)!r}, 'w'); time.sleep(1000)"),
        stop_timeout_seconds=1,
    )
    wait_until(ready.exists, what="a deaf process")
    pid = box.pid(name)
    box.supervisor.stop([name])
    assert not is_alive(pid)
    assert box.status(name).state is UnitState.STOPPED


@pytest.mark.slow
def test_a_crash_loop_ends_as_failed_and_a_start_tries_again(box: Box) -> None:
    fixed = box.folder / "fixed"
    name = box.unit(argv=("/bin/sh", "-c", f"test -e {fixed} && exec sleep 1000; echo broken; exit 3"))
    box.supervisor.reload([name], [])
    with contextlib.suppress(SupervisorError):  # systemd may see the first crash before it answers
        box.supervisor.start([name])
    box.wait_for(name, UnitState.FAILED, seconds=60)
    assert box.status(name).detail

    fixed.touch()
    box.supervisor.start([name])
    box.wait_for(name, UnitState.RUNNING)
    assert box.status(name).restarts == 0


@pytest.mark.slow
def test_a_process_above_its_memory_limit_is_restarted(box: Box) -> None:
    grow = f"import time; held = bytearray(b'x') * (300 * {_MIB}); time.sleep(1000)"
    name = box.running(argv=(sys.executable, "-c", grow), memory_limit=100 * _MIB)
    wait_until(lambda: box.status(name).restarts >= 1, 40, "a restart for memory")


def test_a_removed_unit_is_absent_and_the_others_run_on(box: Box) -> None:
    stays, goes = box.running("a"), box.running("b")
    pid = box.pid(stays)
    box.supervisor.stop([goes])
    box.supervisor.unit_path(goes).unlink()
    box.supervisor.reload([], [goes])
    assert box.status(goes).state is UnitState.ABSENT
    assert box.supervisor.installed() == (stays,)
    assert box.pid(stays) == pid


def test_every_argument_variable_and_folder_arrives_as_it_was_written(box: Box) -> None:
    answer = box.folder / "answer.json"
    folder = box.folder / "a b%c"
    folder.mkdir()
    arguments = _nasty_arguments()
    name = box.unit(
        argv=(sys.executable, "-c", _DUMP, str(answer), *arguments),
        environment=(("PLAIN", "a b % $HOME \\ é"), ("EMPTY", "")),
        working_directory=str(folder),
    )
    box.supervisor.reload([name], [])
    box.supervisor.start([name])
    wait_until(lambda: answer.exists() and answer.stat().st_size > 0, what="the program's answer")
    argv, environment, cwd = json.loads(answer.read_text())
    assert tuple(argv) == arguments
    assert environment["PLAIN"] == "a b % $HOME \\ é"
    assert environment["EMPTY"] == ""
    assert environment["MODELCTL_UNIT"] == name
    assert cwd == str(folder)


def test_a_program_in_a_folder_that_a_shell_would_misread_runs(box: Box) -> None:
    program = box.folder / "a b;c=$HOME" / "my sleep"
    program.parent.mkdir()
    program.symlink_to("/bin/sleep")
    name = box.running(argv=(str(program), "1000"))
    _wait_for_command(box.pid(name), str(program), "1000")


def test_a_name_with_dots_and_dashes_is_one_unit(box: Box) -> None:
    name = box.running("qwen2.5-coder-7b.Q4_0-x")
    assert name == "llama@qwen2.5-coder-7b.Q4_0-x-max"
    box.supervisor.restart([name])
    box.wait_for(name, UnitState.RUNNING)
    box.supervisor.stop([name])
    assert box.status(name).state is UnitState.STOPPED


def test_twenty_units_start_and_stop_together(box: Box) -> None:
    names = [box.unit(f"m{number}") for number in range(20)]
    box.supervisor.reload(names, [])
    box.supervisor.start(names)
    wait_until(
        lambda: all(status.state is UnitState.RUNNING for status in box.supervisor.observe(names).values()),
        what="twenty running units",
    )
    pids = {status.pid for status in box.supervisor.observe(names).values()}
    assert len(pids) == 20
    box.supervisor.stop(names)
    assert {status.state for status in box.supervisor.observe(names).values()} == {UnitState.STOPPED}


def test_a_missing_program_is_named_and_the_others_start(box: Box) -> None:
    good, bad = box.unit("good"), box.unit("bad", ("/nonexistent/llama-server",))
    box.supervisor.reload([good, bad], [])
    with pytest.raises(SupervisorError) as caught:
        box.supervisor.start([bad, good])
    assert bad in caught.value.what
    assert good not in caught.value.what
    box.wait_for(good, UnitState.RUNNING)


def test_the_log_shows_its_end_and_is_followed(box: Box) -> None:
    more = box.folder / "more"
    script = f"for i in 1 2 3; do echo line $i; done; until test -e {more}; do sleep 0.05; done; echo later"
    name = box.running(argv=("/bin/sh", "-c", f"{script}; exec sleep 1000"))
    wait_until(lambda: len(list(box.supervisor.log(name, lines=9, follow=False))) == 3, what="three lines")
    assert list(box.supervisor.log(name, lines=2, follow=False)) == ["line 2", "line 3"]

    seen: list[str] = []

    def follow() -> None:
        for line in box.supervisor.log(name, lines=1, follow=True):
            seen.append(line)
            if line == "later":
                return

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    wait_until(lambda: seen == ["line 3"], what="the last line")
    more.touch()
    reader.join(timeout=10)
    assert seen == ["line 3", "later"]


@pytest.mark.slow
def test_a_log_that_grew_large_is_rotated(box: Box) -> None:
    megabytes = LOG_BYTES // 1_000_000 + 3
    script = f"yes 0123456789 | head -c {megabytes}000000; until test -e done; do sleep 0.05; done"
    name = box.running(argv=("/bin/sh", "-c", f"{script}; echo; echo end; exec sleep 1000"))
    log = box.folder / "logs" / "a.log"
    wait_until(log.with_name("a.log.1").exists, 20, "a rotated log")
    wait_until(lambda: log.stat().st_size < LOG_BYTES, what="a log cut short")
    (box.folder / "done").touch()
    wait_until(lambda: list(box.supervisor.log(name, lines=1, follow=False)) == ["end"], what="the last line")


def test_nothing_of_the_callers_environment_reaches_a_unit(box: Box) -> None:
    """The fixture sets both variables before the supervisor starts."""
    assert os.environ["HF_TOKEN"]
    name = box.running()
    _wait_for_command(box.pid(name), *SLEEP)
    environment = psutil.Process(box.pid(name)).environ()
    assert "HF_TOKEN" not in environment
    assert "LLAMA_SERVER_ROUTER_PORT" not in environment
