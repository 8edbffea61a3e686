"""PM2 for tests, from npm, installed once per machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

_VERSION = "7.0.4"


def pm2_bin() -> Path:
    """The folder with the `pm2` command. Skips where npm is missing or cannot reach its registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("PM2 needs npm and node, which are not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "modelctl-tests" / f"pm2-{_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    binaries = folder / "node_modules" / ".bin"
    with FileLock(folder / "lock"):
        if not (binaries / "pm2").exists():
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"pm2@{_VERSION}"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(f"npm cannot install PM2: {done.stderr.strip()[-300:]}")
    return binaries
