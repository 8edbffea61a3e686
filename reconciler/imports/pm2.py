"""PM2's files as models: `dump.pm2`, `pm2 prettylist`, and ecosystem files in JSON or YAML.

Formats: https://pm2.keymetrics.io/docs/usage/application-declaration/. A `.config.js` is a program and is
never run.
"""

import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.core.engine import EngineFlag
from reconciler.core.errors import FormatError, ModelctlError, UsageError
from reconciler.core.limits import MAXIMUM_SPEC_FILE
from reconciler.core.sizes import parse_bytes
from reconciler.imports.found import Found, FoundModel, Remark
from reconciler.imports.server import Home, read_server, renamed, server_arguments
from reconciler.imports.server_flags import is_read
from reconciler.imports.words import pm2_words
from reconciler.spec.syntax import parse

_PROGRAMS = (".js", ".cjs", ".mjs", ".ts")
_NOT_TAKEN = {
    "cron_restart": "its restarts by the clock are not taken over",
    "watch": "that it restarts when files change is not taken over",
    "uid": "the user it runs as is not taken over; the supervisor decides",
    "interpreter_args": "its interpreter's arguments are not taken over",
}
_RESTARTS = ("max_restarts", "min_uptime", "restart_delay", "exp_backoff_restart_delay")
_TIMES = ("kill_timeout", "listen_timeout", "wait_ready")
_LOGS = ("error_file", "out_file", "log_file", "pm_err_log_path", "pm_out_log_path")
_EVERYTHING = "pm_exec_path"
"""Stands in dumps, whose `env` is the whole environment of whoever started PM2 instead of what was chosen."""


def read_pm2(text: str, file: str, known: Mapping[str, EngineFlag]) -> Found:
    """The llama-servers of a PM2 file; `file` is its absolute path. Other apps are left out by name.

    FormatError where it is no such file; UsageError for a program.
    """
    models: list[FoundModel] = []
    remarks: list[Remark] = []
    left_out: list[Remark] = []
    taken: set[str] = set()
    for number, app in enumerate(_apps(text, file), start=1):
        name = str(app.get("name") or f"app {number}")
        try:
            model, said = _read_app(name, app, posixpath.dirname(file), known)
        except ModelctlError as error:
            left_out.append(Remark(name, error.what + (f" ({error.hint})" if error.hint else "")))
            continue
        models.append(renamed(model, taken))
        remarks += [Remark(name, line) for line in said]
    return Found(tuple(models), (), tuple(remarks), tuple(left_out))


def _apps(text: str, file: str) -> list[Mapping[str, Any]]:
    if file.endswith(_PROGRAMS):
        raise UsageError(
            f"{file} is a program, and modelctl runs no programs of others to read them",
            hint=f"pm2 start {file} && pm2 save, then: modelctl import pm2 ~/.pm2/dump.pm2",
        )
    if len(text) > MAXIMUM_SPEC_FILE:
        raise FormatError(f"{file} is larger than {MAXIMUM_SPEC_FILE // 1024**2} MiB")
    if file.endswith((".yaml", ".yml")):
        document: Any = parse(file, text).data
    else:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(
                f"{file} is no JSON: {error}", hint="name a dump.pm2, a JSON file, or one that ends in .yaml"
            ) from error
    if isinstance(document, dict):
        document = document.get("apps", [document] if "script" in document else None)
    if not isinstance(document, list) or not all(isinstance(app, dict) for app in document):
        raise FormatError(f"{file} has no list of apps", hint="name the dump.pm2 that `pm2 save` writes")
    return [_flat(app) for app in document]


def _flat(app: Mapping[str, Any]) -> Mapping[str, Any]:
    """`pm2 prettylist` puts most of an app into `pm2_env`."""
    inner = app.get("pm2_env")
    return {**app, **inner} if isinstance(inner, dict) else app


def _read_app(
    name: str, app: Mapping[str, Any], folder: str, known: Mapping[str, EngineFlag]
) -> tuple[FoundModel, list[str]]:
    cwd = posixpath.join(folder, _text(app, "pm_cwd") or _text(app, "cwd") or "")
    home = Home(cwd, _environment(app), known)
    before, arguments = server_arguments(_words(app))
    served = read_server(name, arguments, home)
    remarks = list(served.remarks)
    if len(before) > 1:
        remarks.append(f"what stands before llama-server is not taken over: {' '.join(before[1:])}")
    instances = app.get("instances")
    if isinstance(instances, int) and instances > 1:
        remarks.append(f"of {instances} instances there is one here; raise `parallel` instead")
    if app.get("autorestart") is False:
        remarks.append("here it is started again after a crash; there it was not")
    remarks += [said for key, said in _NOT_TAKEN.items() if app.get(key)]
    remarks += _rules(app)
    remarks += _other_variables(app, home.environment)
    return replace(served.model, memory_limit=_memory(app)), remarks


def _words(app: Mapping[str, Any]) -> tuple[str, ...]:
    script = _text(app, "script") or _text(app, "pm_exec_path") or ""
    args = app.get("args", ())
    if isinstance(args, str):
        return (script, *pm2_words(args))
    if not isinstance(args, list | tuple) or any(isinstance(word, dict | list) for word in args):
        raise FormatError("its `args` are neither text nor a list")
    interpreter = _text(app, "exec_interpreter") or _text(app, "interpreter")
    lead = () if interpreter in {None, "none", "node"} else (interpreter or "",)
    return (*lead, script, *(str(word) for word in args))


def _rules(app: Mapping[str, Any]) -> Iterator[str]:
    """What PM2 does about crashes, ends and logs, and what holds here instead."""
    restarts = ", ".join(f"{key} {app[key]}" for key in _RESTARTS if app.get(key))
    if restarts:
        yield f"its {restarts} are not taken over: here five crashes in ten minutes end in `failed`"
    times = ", ".join(f"{key} {app[key]}" for key in _TIMES if app.get(key))
    if times:
        yield f"its {times} are not taken over: `ready_timeout` says how long it may take to answer"
    if any(app.get(key) for key in _LOGS) and _EVERYTHING not in app:
        yield "its log files are not taken over: `modelctl logs` shows what the server says"


def _other_variables(app: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Names of what somebody set on purpose and llama-server does not read by itself; never a value."""
    if _EVERYTHING in app:
        return
    others = sorted(name for name in environment if not is_read(name))
    if others:
        yield f"its variables {', '.join(others)} are not taken over"
    variants = sorted(key for key in app if key.startswith("env_") and isinstance(app[key], dict))
    if variants:
        yield f"its {', '.join(variants)} are not taken over; `env` counts"


def _environment(app: Mapping[str, Any]) -> dict[str, str]:
    env = app.get("env")
    return {str(key): str(value) for key, value in env.items()} if isinstance(env, dict) else {}


def _memory(app: Mapping[str, Any]) -> int | None:
    """`20G`, `512M` or bytes; PM2's units are binary, as ours without a B are."""
    limit = app.get("max_memory_restart")
    if limit is None or limit == "":
        return None
    try:
        if isinstance(limit, int | str) and not isinstance(limit, bool):
            return parse_bytes(int(limit) if isinstance(limit, str) and limit.isdecimal() else limit)
    except ValueError:
        pass
    raise FormatError(f"its max_memory_restart {limit!r} is no size")


def _text(app: Mapping[str, Any], key: str) -> str | None:
    value = app.get(key)
    return value if isinstance(value, str) and value else None
