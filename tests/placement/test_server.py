"""A model really served over two devices: what its log says is what was reckoned."""

import re
import subprocess
import time
from pathlib import Path

from reconciler.placement.memory import Split, estimate, read_model_figures
from reconciler.placement.settings import Settings
from tests.placement import shapes
from tests.support.engines import rpc_llama_server

MIB = 1024 * 1024
LINE = re.compile(r"(\S+)\s+(model|KV|compute) buffer size =\s+([\d.]+) MiB")


def served_log(command: list[str], log: Path, *, seconds: float = 60.0) -> str:
    """Start a server, wait until it listens, stop it; returns what it wrote."""
    deadline = time.monotonic() + seconds
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            while "model loaded" not in log.read_text():
                assert server.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.02)
        finally:
            server.terminate()
    return log.read_text()


def test_the_buffers_of_a_running_server_are_the_reckoned_ones(models, devices, tmp_path):
    path = shapes.write(shapes.tiny(), models)
    tiny = read_model_figures(shapes.header(path))
    report = estimate(tiny, Settings(8192, parallel=2, outputs=2), Split(0, (3, 4)))
    command = [str(rpc_llama_server()), "-m", str(path), "--host", str(tmp_path / "s.sock")]
    command += ["--no-warmup", "-lv", "4"]
    command += ["-c", "8192", "-np", "2", "-ngl", "7", "-ts", "3,4", "--rpc", ",".join(devices[:2])]
    found: dict[tuple[str, str], float] = {
        (name, kind): float(size) for name, kind, size in LINE.findall(served_log(command, tmp_path / "log"))
    }
    for address, ours in zip(devices, report.devices, strict=False):
        theirs = {kind: found[f"RPC0[{address}]", kind] for kind in ("model", "KV", "compute")}
        assert abs(ours.model / MIB - theirs["model"]) < 0.1
        assert abs(ours.context / MIB - theirs["KV"]) < 0.1
        assert -0.1 < ours.compute / MIB - theirs["compute"] < 6
    assert abs(report.host.model / MIB - found["CPU_Mapped", "model"]) < 0.1
    assert abs(report.host.compute / MIB - found["CPU", "compute"]) < 1
