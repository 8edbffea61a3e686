"""What only systemd tells, read into states, and units hardened as far as an engine can live with."""

import http.client
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.core.types import UnitName
from reconciler.core.units import GpuAccess, SupervisorKind, UnitState
from reconciler.demo.tiny_model import tiny_model
from reconciler.host.supervisors.systemd_status import read_status
from tests.support.supervisors import Box
from tests.support.units import rendered
from tests.support.waiting import wait_until

_RUNNING = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success"}
_FAILED = {"LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}


def _times(**seconds: float) -> dict[str, str]:
    return {f"{stamp}TimestampMonotonic": str(int(at * 1e6)) for stamp, at in seconds.items()}


@pytest.mark.parametrize(
    ("properties", "state", "detail"),
    [
        (_RUNNING, UnitState.RUNNING, None),
        (_RUNNING | {"ActiveState": "activating", "SubState": "start"}, UnitState.STARTING, None),
        (
            _FAILED | {"ActiveState": "activating", "SubState": "auto-restart", "ExecMainStatus": "3"},
            UnitState.RESTARTING,
            "it ended with exit status 3",
        ),
        (_RUNNING | {"ActiveState": "deactivating", "SubState": "stop"}, UnitState.STOPPED, "stopping"),
        (_RUNNING | {"ActiveState": "inactive", "SubState": "dead"}, UnitState.STOPPED, None),
        (
            _RUNNING | {"ActiveState": "inactive", "SubState": "dead", "LoadState": "not-found"},
            UnitState.ABSENT,
            None,
        ),
        (
            _RUNNING
            | {"ActiveState": "inactive", "SubState": "dead", "LoadState": "bad-setting", "LoadError": "why"},
            UnitState.FAILED,
            "systemd cannot load it: why",
        ),
        (_RUNNING | {"ActiveState": "inactive", "LoadState": "masked"}, UnitState.STOPPED, "masked"),
        # A crash loop: the process ended first, and no restart came after the pause.
        (
            _FAILED | {"ExecMainStatus": "3"} | _times(ExecMainStart=10, ExecMainExit=11, ActiveExit=11.001),
            UnitState.FAILED,
            "it ended with exit status 3",
        ),
        # It never became active: the program could not be executed.
        (
            _FAILED | {"ExecMainStatus": "203"} | _times(ExecMainStart=10, ExecMainExit=10.1),
            UnitState.FAILED,
            "it ended with exit status 203",
        ),
        # Stopped on purpose: the order came first, the process ended badly after it.
        (
            _FAILED | {"Result": "timeout"} | _times(ExecMainStart=10, ActiveExit=20, ExecMainExit=25),
            UnitState.STOPPED,
            "systemd says: timeout",
        ),
        (_FAILED | {"Result": "oom-kill"}, UnitState.FAILED, "killed above its memory limit"),
        (
            _FAILED | {"Result": "signal", "ExecMainStatus": "9"},
            UnitState.FAILED,
            "it was ended by signal 9",
        ),
    ],
)
def test_properties_are_read_into_states(
    properties: dict[str, str], state: UnitState, detail: str | None
) -> None:
    status = read_status(UnitName("llama@a-max"), {"SubState": "dead"} | properties, boot=1000)
    assert (status.state, status.detail) == (state, detail)


def test_times_and_counts_are_read() -> None:
    properties = _RUNNING | {"MainPID": "7", "NRestarts": "2"} | _times(ActiveEnter=5, StateChange=9)
    status = read_status(UnitName("llama@a-max"), properties, boot=1000)
    assert (status.pid, status.restarts, status.since) == (7, 2, 1005)


def test_the_guard_goes_when_nothing_needs_it(systemd: Box) -> None:
    guard = systemd.supervisor.unit_path(UnitName("x")).with_name("modelctl-guard.service")
    name = systemd.running()
    assert guard.exists()
    systemd.supervisor.stop([name])
    systemd.supervisor.unit_path(name).unlink()
    systemd.supervisor.reload([], [name])
    assert not guard.exists()


@pytest.mark.slow
@pytest.mark.parametrize("loopback", [True, False], ids=["loopback", "socket"])
@pytest.mark.parametrize("gpu", [GpuAccess.NONE, GpuAccess.NVIDIA])
def test_a_fully_hardened_system_unit_lets_the_engine_answer(
    systemd: Box, loopback: bool, gpu: GpuAccess
) -> None:
    """The system's template under a manager that runs as root: every restriction in it is in force."""
    folder = systemd.folder
    (folder / "run").mkdir()
    (folder / "m.gguf").write_bytes(tiny_model("hardened"))
    port, path = _free_port(), folder / "run" / "engine.sock"
    listen = ("--host", "127.0.0.1" if loopback else str(path), "--port", str(port))
    model = ("--model", str(folder / "m.gguf"), "--ctx-size", "256")
    name = systemd.unit()
    text = rendered(
        SupervisorKind.SYSTEMD,
        name=name,
        argv=(sys.executable, "-m", "reconciler.embedded", *model, *listen),
        working_directory=str(Path(__file__).parents[3]),
        log_path=str(folder / "engine.log"),
        write_paths=(str(folder / "run"),),
        gpu=gpu,
        loopback=loopback,
        user=None,
    )
    systemd.supervisor.unit_path(name).write_text(text)
    systemd.supervisor.reload([name], [])
    systemd.supervisor.start([name])

    def connection() -> socket.socket:
        if loopback:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        return client

    wait_until(lambda: _answer(connection) == "hardened", 30, "the engine's answer")
    status = Path(f"/proc/{systemd.pid(name)}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def _answer(connect: Callable[[], socket.socket]) -> str | None:
    question = json.dumps({"messages": [{"role": "user", "content": "?"}], "max_tokens": 8})
    connection = http.client.HTTPConnection("localhost")
    try:
        connection.sock = connect()
        connection.request("POST", "/v1/chat/completions", question, {"Content-Type": "application/json"})
        reply = json.load(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    choices = reply.get("choices")
    return choices[0]["message"]["content"].strip() if choices else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
