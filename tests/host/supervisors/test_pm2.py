"""What only PM2 needs: our guard for slow crash loops, its daemon killed, its list kept for the next boot."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from reconciler.core.types import UnitName
from reconciler.core.units import UnitState
from tests.support.supervisors import Box, is_alive
from tests.support.waiting import wait_until


def _guard(box: Box) -> bool:
    done = subprocess.run(["pm2", "jlist"], capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)
    return any(app["name"] == "modelctl-guard" and app["pm2_env"]["status"] == "online" for app in listed)


def test_the_guard_comes_with_the_first_unit_and_goes_with_the_last(pm2: Box) -> None:
    assert not _guard(pm2)
    name = pm2.running()
    assert _guard(pm2)
    pm2.supervisor.stop([name])
    pm2.supervisor.unit_path(name).unlink()
    pm2.supervisor.reload([], [name])
    assert not _guard(pm2)


@pytest.mark.slow
def test_a_loop_that_pm2_does_not_see_is_given_up_by_the_guard(pm2: Box) -> None:
    """PM2 counts crashes only in the first ten minutes of a program; later it restarts for ever."""
    name = pm2.unit(argv=("/bin/sh", "-c", "echo broken; exit 3"))
    path = pm2.supervisor.unit_path(name)
    document = json.loads(path.read_text())
    document["apps"][0] |= {"max_restarts": 1_000_000, "exp_backoff_restart_delay": 100}
    path.write_text(json.dumps(document))
    pm2.supervisor.reload([name], [])
    pm2.supervisor.start([name])
    pm2.wait_for(name, UnitState.FAILED, seconds=60)
    log = path.parent / "guard.log"
    wait_until(lambda: f"{name}: a crash loop: given up" in log.read_text(), what="the guard's words")

    pm2.supervisor.stop([name])
    assert pm2.status(name).state is UnitState.STOPPED


def test_a_killed_daemon_leaves_no_unit_behind(pm2: Box) -> None:
    name = pm2.running()
    orphan = pm2.pid(name)
    daemon = int((pm2.folder / "home" / "pm2.pid").read_text())
    psutil.Process(daemon).kill()
    wait_until(lambda: not pm2.supervisor.is_running(), what="the end of the daemon")
    assert pm2.status(name).state is UnitState.ABSENT

    pm2.supervisor.ensure_running()
    assert not is_alive(orphan)
    pm2.supervisor.start([name])
    pm2.wait_for(name, UnitState.RUNNING)


def test_what_runs_is_resurrected_at_the_next_boot_and_what_was_stopped_is_not(pm2: Box) -> None:
    runs, stopped = pm2.running("a"), pm2.running("b")
    pm2.supervisor.stop([stopped])
    subprocess.run(["pm2", "kill"], check=True, capture_output=True)
    subprocess.run(["pm2", "resurrect"], check=True, capture_output=True)
    pm2.wait_for(runs, UnitState.RUNNING)
    assert pm2.status(stopped).state is UnitState.STOPPED


def test_programs_of_the_person_are_left_alone(pm2: Box, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.json"
    app = {"name": "theirs", "script": "/bin/sleep", "args": ["1000"], "interpreter": "none"}
    theirs.write_text(json.dumps({"apps": [app]}))
    subprocess.run(["pm2", "start", str(theirs)], check=True, capture_output=True)
    name = pm2.running()
    pm2.supervisor.restart([name])
    pm2.supervisor.stop([name])
    pm2.supervisor.unit_path(name).unlink()
    pm2.supervisor.reload([], [name])
    assert pm2.status(UnitName("theirs")).state is UnitState.RUNNING
    assert pm2.supervisor.installed() == ()
