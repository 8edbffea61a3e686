"""Serve a model with llama.cpp inside this process, as `llama-server` would."""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TextIO

from reconciler.embedded.setters import Settings
from reconciler.embedded.sockets import SocketTakenError, listens, remove, remove_stale
from reconciler.embedded.usage import CommandLineError, read_command_line, unusable, usage

_WATCH_SECONDS = 5.0
"""How often the listener is looked at: one that is gone while its process lives is a hang."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run until SIGTERM or SIGINT, then end with 0; whatever prevents serving ends with 1 and one line.

    Until it logs that it is serving, a signal ends the process by itself, as in llama-server: the binding
    does not let go of the interpreter before the model is there. `--exec PROGRAM …` as the first argument
    only clears the way for `--host PATH.sock` and becomes the llama-server PROGRAM.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if arguments[:1] == ["--exec"]:
        _execute(arguments[1:])
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


def _execute(command: Sequence[str]) -> NoReturn:
    if not command:
        _leave(1, "error: --exec needs a program")
    hosts = [value for name, value in pairwise(command) if name == "--host"]
    _clear(Path(host) for host in hosts if host.endswith(".sock"))
    try:
        os.execv(command[0], list(command))  # noqa: S606 - an argv, no shell
    except OSError as error:
        _leave(1, f"error: {command[0]} cannot be run: {error.strerror}")


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
    _clear(sockets)
    try:
        server = _llama().Server(params)
    except (RuntimeError, ValueError):
        remove(sockets)
        _say(f"error: llama.cpp could not serve {params.model.path}, its reason stands beside this")
        sys.exit(1)  # not at once: llama.cpp logs from a thread that is done at an ordinary exit only
    _wait_for_end(server, sockets)


def _clear(sockets: Iterable[Path]) -> None:
    for path in sockets:
        try:
            remove_stale(path)
        except (SocketTakenError, OSError) as error:
            _leave(1, f"error: {error}")


def _wait_for_end(server: Any, sockets: Sequence[Path]) -> NoReturn:
    """Sleep until a signal comes or the listener is gone. `server` must stay referenced until then."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _say(f"serving on {server.listening_address} until SIGTERM")
    while not select.select([wake], [], [], _WATCH_SECONDS)[0]:
        if not listens(server.listening_address):
            remove(sockets)
            _leave(1, f"error: nothing listens on {server.listening_address} any more")
    remove(sockets)
    _leave(0)


def _leave(code: int, words: str = "", stream: TextIO | None = None) -> NoReturn:
    """End at once. llama.cpp's own teardown waits for requests in flight; there is nothing to save."""
    if words:
        _say(words, stream)
    os._exit(code)


def _say(words: str, stream: TextIO | None = None) -> None:
    with contextlib.suppress(BrokenPipeError):
        (stream or sys.stderr).write(f"{words}\n")
        (stream or sys.stderr).flush()
