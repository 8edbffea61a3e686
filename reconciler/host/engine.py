"""Finds the engine on this machine and asks it, once per build, what it is and which flags it knows."""

import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.engine import Engine, EngineFlag, read_help, read_version
from reconciler.core.errors import EngineError, ModelctlError
from reconciler.host.files import atomic_write
from reconciler.host.process import Completed, run

_PROGRAM = "llama-server"
_LAUNCHER = "modelctl-llama-server"
_ANSWER_SECONDS = 10.0
_CACHE_FORMAT = 1
_OPENMP = "libgomp.so.1"
"""What the embedded engine needs of the system besides the C library; minimal installations lack it."""
_INSTALL = "install llama.cpp so that llama-server is on PATH, or name it in settings.engine"
_INSTALL_OPENMP = "apt install libgomp1 (Debian, Ubuntu), or dnf install libgomp (Fedora, RHEL)"


def find_engine(setting: str, cache: Path | None = None) -> Engine:
    """The engine that `settings.engine` names.

    `auto` is the llama-server on PATH, else the embedded one; `embedded` is that one; anything else is a
    program's path, or its name on PATH. What it answered is kept in the JSON file `cache` and believed as
    long as the program's files look the same. Raises EngineError when it is missing or is no llama.cpp.
    """
    found = _locate(setting)
    known = _read_cache(cache)
    key = " ".join(found.command)
    entry = known.get(key)
    if entry is not None and entry.get("stamp") == found.stamp:
        return _restore(found, entry)
    entry = _ask(found)
    if cache is not None:
        _write_cache(cache, {**known, key: entry})
    return _restore(found, entry)


def embedded_command() -> tuple[str, ...]:
    """What starts the embedded engine from any working directory and with any environment.

    The console script of this installation: its path holds no Python version, so it outlives an upgrade of
    the environment it is in (`uv tool upgrade`, `pipx upgrade`), and it ignores the working directory, where
    `python -m` would look for modules first. A checkout that is not installed has none; there the
    interpreter runs the package's folder.
    """
    script = Path(sysconfig.get_path("scripts")) / _LAUNCHER
    if script.exists():
        return (str(script),)
    return (sys.executable, str(_module_folder("reconciler.embedded")))


@dataclass(frozen=True, slots=True)
class _Found:
    """An engine's place. `stamp` changes when one of the files that decide on its flags does."""

    embedded: bool
    command: tuple[str, ...]
    stamp: str


def _locate(setting: str) -> _Found:
    if setting in {"auto", _PROGRAM} and (found := shutil.which(_PROGRAM)):
        return _server(Path(found).absolute())
    if setting in {"auto", "embedded"}:
        return _embedded(setting)
    if "/" not in setting and (found := shutil.which(setting)):
        return _server(Path(found).absolute())
    path = Path(setting).expanduser().absolute()
    if not path.is_file():
        raise EngineError(f"the engine {setting} does not exist", hint=_INSTALL)
    if not os.access(path, os.X_OK):
        raise EngineError(f"the engine {path} is not executable", hint=f"chmod +x {path}")
    return _server(path)


def _server(path: Path) -> _Found:
    # llama-server may be a stub: what decides on its flags is in the libraries beside it.
    files = (path, *path.resolve().parent.glob("lib*"))
    return _Found(embedded=False, command=(str(path),), stamp=_stamp(files))


def _embedded(setting: str) -> _Found:
    library = importlib.util.find_spec("xllamacpp")
    if library is None or library.origin is None:
        what = (
            "neither llama-server on PATH nor the embedded llama.cpp" if setting == "auto" else "no xllamacpp"
        )
        raise EngineError(f"{what} is installed", hint=f"pip install xllamacpp, or {_INSTALL}")
    files = (*Path(library.origin).parent.glob("*.so"), *_module_folder("reconciler.embedded").glob("*.py"))
    return _Found(embedded=True, command=embedded_command(), stamp=_stamp(files))


def _module_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EngineError(f"{name} is not part of this installation", hint="install modelctl again")
    return Path(spec.origin).resolve().parent


def _stamp(paths: Iterable[Path]) -> str:
    seen = []
    for path in sorted(paths):
        status = path.stat()
        seen.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(seen)


def _ask(found: _Found) -> dict[str, Any]:
    """Version and flags in the engine's own words; a program that cannot say them cannot serve either."""
    said = _answer(found, "--version")
    version = read_version(f"{said.stdout}\n{said.stderr}")
    if version is None:
        raise _foreign(found, "does not say its version as llama.cpp does")
    flags, removed = read_help(_answer(found, "--help").stdout)
    if "--model" not in flags or "--ctx-size" not in flags:
        raise _foreign(found, "does not know --model and --ctx-size")
    return {
        "stamp": found.stamp,
        "version": version[0],
        "build": version[1],
        "flags": [[list(flag.names), flag.value] for flag in dict.fromkeys(flags.values())],
        "removed": removed,
    }


def _answer(found: _Found, question: str) -> Completed:
    # As in a unit: llama.cpp would take flags from these variables, and fail on a bad one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
    argv = (*found.command, question)
    try:
        done = run(argv, timeout=_ANSWER_SECONDS, env=environment)
    except ModelctlError as error:
        raise EngineError(f"the engine cannot be asked: {error.what}", hint=_by_hand(argv)) from error
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
        lacks_openmp = f"{_OPENMP}: cannot open shared object" in done.complaint
        raise EngineError(
            f"the engine {found.command[0]} ends with {how}: {done.complaint}",
            hint=_INSTALL_OPENMP if lacks_openmp else _by_hand(argv),
        )
    return done


def _foreign(found: _Found, why: str) -> EngineError:
    return EngineError(f"{found.command[0]} is no llama-server: it {why}", hint=_INSTALL)


def _by_hand(argv: tuple[str, ...]) -> str:
    return f"run it by hand: {' '.join(argv)}"


def _restore(found: _Found, entry: dict[str, Any]) -> Engine:
    flags = [EngineFlag(tuple(names), value) for names, value in entry["flags"]]
    return Engine(
        kind="embedded" if found.embedded else "server",
        command=found.command,
        socket_command=found.command if found.embedded else (*embedded_command(), "--exec", *found.command),
        version=entry["version"],
        build=entry["build"],
        flags={name: flag for flag in flags for name in flag.names},
        removed=entry["removed"],
    )


def _read_cache(cache: Path | None) -> dict[str, dict[str, Any]]:
    """What was asked before; empty when the file is missing, of another release, or damaged."""
    try:
        document = json.loads(cache.read_bytes()) if cache else {}
        if document.get("format_version") == _CACHE_FORMAT:
            return dict(document["engines"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    return {}


def _write_cache(cache: Path, engines: dict[str, dict[str, Any]]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(cache, json.dumps({"format_version": _CACHE_FORMAT, "engines": engines}, indent=1))
