"""Running somebody's command on an event: no shell, little environment, and an end."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

_KEPT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
)
"""The last two are how a command reaches the sound or the desktop of its user."""
_TAIL_BYTES = 400


def run_hook(argv: Sequence[str], said: str, timeout: float, extra: Mapping[str, str]) -> str | None:
    """Run `argv` with `said` on its standard input; None when it ended well, else what went wrong.

    It and everything that it started is killed after `timeout` seconds.
    """
    environment = {key: os.environ[key] for key in _KEPT if key in os.environ} | dict(extra)
    # Files and not pipes: a program that outlives its parent would keep a pipe open, and us waiting.
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write(said.encode())
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be run: {error.strerror or error}"
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            return f"did not end within {timeout:g} s and was killed"
        if code == 0:
            return None
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _TAIL_BYTES))
        tail = stderr.read().decode(errors="replace").strip().replace("\n", " · ")
    return f"ended with exit status {code}" + (f": {tail}" if tail else "")


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.wait()
