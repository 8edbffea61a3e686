"""Running somebody's command on an event: no shell, little environment, and an end."""

import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO

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
_MOST_BYTES = 1024**2
"""Of what a hook complains on its standard error; what is older goes."""
_LOOK_SECONDS = 0.1


def run_hook(argv: Sequence[str], said: str, timeout: float, extra: Mapping[str, str]) -> str | None:
    """Run `argv` with `said` on its standard input; None when it ended well, else what went wrong.

    It and everything that it started is killed after `timeout` seconds.
    """
    environment = {key: os.environ[key] for key in _KEPT if key in os.environ} | dict(extra)
    # Files and not pipes: a program that outlives its parent would keep a pipe open, and us waiting.
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        # What a hook writes goes to the end, also after the file was cut short.
        fcntl.fcntl(stderr, fcntl.F_SETFL, fcntl.fcntl(stderr, fcntl.F_GETFL) | os.O_APPEND)
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
        tail = b""
        end = time.monotonic() + timeout
        while (code := _wait(process, min(_LOOK_SECONDS, end - time.monotonic()))) is None:
            if time.monotonic() >= end:
                _kill(process)
                return f"did not end within {timeout:g} s and was killed"
            if os.fstat(stderr.fileno()).st_size > _MOST_BYTES:
                tail = _tail(stderr)
                stderr.truncate(0)
        if code == 0:
            return None
        tail = (tail + _tail(stderr))[-_TAIL_BYTES:]
    words = tail.decode(errors="replace").strip().replace("\n", " · ")
    return f"ended with exit status {code}" + (f": {words}" if words else "")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit status; None when it still runs after so long."""
    try:
        return process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return None


def _tail(file: IO[bytes]) -> bytes:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.wait()
