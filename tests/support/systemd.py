"""A systemd user manager of the tests' own, wherever one can be had."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parent.parent / "private_systemd.sh"


@dataclass(frozen=True)
class PrivateManager:
    """`systemctl --user` reaches it with these two variables set."""

    environment: dict[str, str]
    unit_directory: Path


@contextmanager
def private_manager() -> Iterator[PrivateManager]:
    """Start a manager, and end it with everything that it runs. Skips, with the reason, where that cannot be."""
    _install_systemd()
    # A short path: it holds UNIX sockets.
    folder = Path(tempfile.mkdtemp(prefix="msd"))
    runtime, config = folder / "run", folder / "config"
    process = subprocess.Popen(
        [str(_SCRIPT), str(runtime), str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        if process.stdout.readline() != "ready\n":
            process.stdin.close()
            process.wait(timeout=30)
            pytest.skip(f"no private systemd manager here: {process.stderr.read().strip()}")
        environment = {"XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(config)}
        yield PrivateManager(environment, config / "systemd" / "user")
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _install_systemd() -> None:
    if Path("/lib/systemd/systemd").exists() or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "systemd"],
        check=False,
        env=environment,
    )
