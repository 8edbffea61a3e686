"""Twenty tiny runtimes from nothing to all ready: `modelctl apply` beside `pm2 start` of the same.

Both run the same engine with the same flags on the same ports, in turn: only the way to start differs.
`apply` also reads the spec, stores and verifies the model, renders units and takes a token from each runtime.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cli import MODELCTL, write_workspace

from reconciler.core.endpoint import parse_endpoint
from reconciler.host.health import Health, look
from reconciler.host.state import State
from reconciler.host.supervisors.supervisord import SupervisordSupervisor

COUNT = 20
RUNS = 5
GOAL = 1.5
_PATIENCE_SECONDS = 60


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.support.pm2 import pm2_bin  # noqa: PLC0415 - found only once the path is set

    pm2 = str(pm2_bin() / "pm2")
    ours, theirs = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="mctl-bench-") as name:
            root = Path(name)
            environment = write_workspace(root, COUNT)
            seconds, argvs, ports = _modelctl(root, environment)
            ours.append(seconds)
            theirs.append(_pm2(pm2, root, argvs, ports))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"\n{COUNT} runtimes from nothing to all ready (median of {RUNS})")
    print(f"  modelctl apply  {statistics.median(ours):6.2f} s")
    print(f"  pm2 start       {statistics.median(theirs):6.2f} s")
    print(f"  ratio           {ratio:6.2f}    goal {GOAL} {'✓' if ratio <= GOAL else '✗'}")


def _modelctl(root: Path, environment: dict[str, str]) -> tuple[float, list[list[str]], list[int]]:
    supervisor = SupervisordSupervisor(root / "store" / "state" / "supervisord")
    begin = time.perf_counter()
    try:
        subprocess.run(
            (MODELCTL, "apply", "--yes"),
            env={**os.environ, **environment},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - begin
        with State.open(root / "store" / "state" / "modelctl.db", create=False) as state:
            endpoints = [parse_endpoint(unit.endpoint) for unit in state.units().values()]
            names = list(state.units())
        pids = [status.pid for status in supervisor.observe(names).values()]
        argvs = [_argv(pid) for pid in pids if pid is not None]
        return seconds, argvs, [int(str(endpoint).rpartition(":")[2]) for endpoint in endpoints]
    finally:
        supervisor.shut_down()


def _argv(pid: int) -> list[str]:
    import psutil  # noqa: PLC0415 - not in the timed part

    return list(psutil.Process(pid).cmdline())


def _pm2(pm2: str, root: Path, argvs: list[list[str]], ports: list[int]) -> float:
    apps = [
        {"name": f"llama-{number}", "script": argv[0], "args": argv[1:], "interpreter": "none"}
        for number, argv in enumerate(argvs)
    ]
    ecosystem = root / "ecosystem.json"
    ecosystem.write_text(json.dumps({"apps": apps}))
    environment = {**os.environ, "PM2_HOME": str(root / "pm2")}
    begin = time.perf_counter()
    try:
        subprocess.run((pm2, "start", ecosystem), env=environment, check=True, stdout=subprocess.DEVNULL)
        waiting = {parse_endpoint(f"http://127.0.0.1:{port}") for port in ports}
        while waiting:
            waiting = {endpoint for endpoint in waiting if look(endpoint) is not Health.READY}
            assert time.perf_counter() - begin < _PATIENCE_SECONDS, f"never ready: {waiting}"
            time.sleep(0.01)
        return time.perf_counter() - begin
    finally:
        subprocess.run((pm2, "kill"), env=environment, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
