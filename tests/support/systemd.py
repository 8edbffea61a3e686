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

_MANAGER = Path("/lib/systemd/systemd")
_SCRIPT = Path(__file__).parent.parent / "private_systemd.sh"


@dataclass(frozen=True)
class PrivateManager:
    """`systemctl --user` reaches it with these two variables set."""

    environment: dict[str, str]
    unit_directory: Path


@contextmanager
def private_manager() -> Iterator[PrivateManager]:
    """Start a manager, and end it with everything that it runs. Skips, with the reason, where it cannot."""
    need_systemd()
    # A short path: it holds UNIX sockets.
    folder = Path(tempfile.mkdtemp(prefix="msd"))
    runtime, config = folder / "run", folder / "config"
    process = subprocess.Popen(
        [str(_SCRIPT), str(runtime), str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As at a login: what a test set in its environment does not reach the units.
        env={key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
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


def need_systemd() -> None:
    """Have systemd's programs on this machine; skips where they cannot be installed."""
    if not _MANAGER.exists() and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "systemd"]):
            subprocess.run(["apt-get", "-qq", *command], check=False, capture_output=True, env=environment)
    if not _MANAGER.exists():
        pytest.skip("systemd is not installed")
