"""Serve a model with llama.cpp inside this process, as `llama-server` would."""

import contextlib
import os
import select
import signal
import socket
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from reconciler.embedded.setters import Settings
from reconciler.embedded.usage import CommandLineError, read_command_line, unusable, usage

_WATCH_SECONDS = 5.0
"""How often the listener is looked at: one that stopped listening while its process lives is a hang."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run until SIGTERM or SIGINT, then end with 0; whatever prevents serving ends with 1 and one line.

    While the model loads, a signal ends the process by itself, as in llama-server: the binding does not
    let go of the interpreter before the model is there.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if {"-h", "--help", "--usage"} & set(arguments):
        _leave(0, usage(), sys.stdout)
    if "--version" in arguments:
        _leave(0, _version(), sys.stderr)
    try:
        params = _read(arguments)
    except CommandLineError as error:
        _leave(1, str(error))
    if not params.model.path:
        _leave(1, "error: --model is required")
    _serve(params)


def _read(arguments: Sequence[str]) -> Any:
    given_flags = read_command_line(arguments)
    settings = Settings(_llama())
    for given in given_flags:
        try:
            given.flag.set(settings, given.value)
        except (ValueError, OSError, OverflowError) as error:
            raise unusable(given, str(error)) from error
    try:
        return settings.finish()
    except (ValueError, RuntimeError) as error:
        raise CommandLineError(f'error while handling argument "--override-tensor": {error}') from error


def _llama() -> Any:
    try:
        import xllamacpp  # noqa: PLC0415 - 100 MB of library that --help does not need
    except ImportError as error:
        _leave(1, f"error: the embedded llama.cpp cannot be loaded: {error}")
    return xllamacpp


def _version() -> str:
    """llama-server's two lines; xllamacpp's version ends in llama.cpp's build: 2026.10.11549 has b11549."""
    llama = _llama()
    build = llama.__version__.rpartition(".")[2]
    info = llama.BUILD_INFO
    return (
        f"version: xllamacpp {llama.__version__} (build {build}, commit {info['commit']})\n"
        f"built with {info['compiler']} for {info['build_target']}"
    )


def _serve(params: Any) -> NoReturn:
    # A unit that inherits this variable would take itself for a child of llama.cpp's router.
    os.environ.pop("LLAMA_SERVER_ROUTER_PORT", None)
    sockets = [Path(host) for host in params.hostnames if host.endswith(".sock")]
    for path in sockets:
        _remove_stale(path)
    try:
        server = _llama().Server(params)
    except (RuntimeError, ValueError):
        _remove(sockets)
        _leave(1, f"error: llama.cpp could not serve {params.model.path}, its reason stands above")
    _wait_for_end(server, sockets)


def _wait_for_end(server: Any, sockets: Sequence[Path]) -> NoReturn:
    """Sleep until a signal comes or the listener is gone. `server` must stay referenced until then."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    while not select.select([wake], [], [], _WATCH_SECONDS)[0]:
        if not _listens(server.listening_address):
            _remove(sockets)
            _leave(1, f"error: nothing listens on {server.listening_address} any more")
    _remove(sockets)
    _leave(0)


def _listens(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    try:
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(rest)
        else:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_WATCH_SECONDS).close()
    except TimeoutError:
        return True  # A full queue of connections is load, not death.
    except OSError:
        return False
    return True


def _remove_stale(path: Path) -> None:
    """Make way for the listener: llama.cpp does not reuse the socket file of a server that was killed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            _leave(1, f"error: {path} exists and is no socket")
    except FileNotFoundError:
        return
    if _listens(f"unix://{path}"):
        _leave(1, f"error: another server listens on {path}")
    path.unlink(missing_ok=True)


def _remove(sockets: Sequence[Path]) -> None:
    for path in sockets:
        path.unlink(missing_ok=True)


def _leave(code: int, words: str = "", stream: Any = None) -> NoReturn:
    """End at once. llama.cpp's own teardown waits for requests in flight; there is nothing to save."""
    with contextlib.suppress(BrokenPipeError):
        print(end=words and f"{words}\n", file=stream or sys.stderr, flush=True)
    os._exit(code)
