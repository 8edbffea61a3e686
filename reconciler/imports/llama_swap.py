"""A llama-swap configuration as models: commands with their macros expanded, aliases as personas.

Format: https://github.com/mostlygeek/llama-swap, `config.example.yaml`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.engine import EngineFlag
from reconciler.core.errors import FormatError, ModelctlError
from reconciler.core.sizes import format_seconds
from reconciler.imports.found import Found, FoundModel, FoundPersona, Remark, to_id
from reconciler.imports.macros import Macros
from reconciler.imports.server import PORT_UNSET, Home, read_server, renamed, server_arguments
from reconciler.imports.server_flags import is_read
from reconciler.imports.words import command_words, without_comments
from reconciler.spec.syntax import parse

_NOT_TAKEN = {
    "filters": "its filters of requests are not taken over; a persona's `sampling` sets defaults",
    "useModelName": "the model name that it sends on is not taken over",
    "concurrencyLimit": "its limit of concurrent requests is not taken over; `parallel` says how many run",
    "metadata": "its metadata is not taken over",
    "proxy": "its `proxy` address is not taken over; the port of its command is",
    "checkEndpoint": "its `checkEndpoint` is not taken over; a model is ready when it gives a token",
    "cmdStop": "its `cmdStop` is not taken over; the supervisor ends it",
    "unlisted": "that it is unlisted is not taken over",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a configuration may refer to outside of itself."""

    file: str
    """Its path, for messages."""
    folder: str
    """Where relative paths begin; absolute."""
    environment: Mapping[str, str]
    known: Mapping[str, EngineFlag]


def read_llama_swap(text: str, around: Surroundings) -> Found:
    """The models of a configuration. Others than llama-servers of this machine are left out by name.

    SpecError where the YAML cannot be read, FormatError where it is no such configuration.
    """
    document = parse(around.file, text).data
    entries = document.get("models")
    if not isinstance(entries, dict):
        raise FormatError(
            f"{around.file} has no `models`", hint="name the file that llama-swap's --config names"
        )
    macros = Macros.of(document.get("macros"), around.environment)
    preloaded = _preloaded(document)
    models: list[FoundModel] = []
    personas: list[FoundPersona] = []
    remarks: list[Remark] = [Remark(around.file, line) for line in _general(document)]
    left_out: list[Remark] = []
    taken: set[str] = set()
    for name, entry in ((str(key), value) for key, value in entries.items()):
        try:
            model, said = _read_entry(name, entry, macros, around)
        except ModelctlError as error:
            left_out.append(Remark(name, error.what + (f" ({error.hint})" if error.hint else "")))
            continue
        model = renamed(replace(model, residency="always" if name in preloaded else "on_demand"), taken)
        models.append(model)
        said += _idle(entry, document)
        if model.id != name:
            said.append(f"its id is `{model.id}` here; clients ask for that name")
        remarks += [Remark(name, line) for line in said]
        for alias in _aliases(entry):
            persona = to_id(alias)
            if persona.lower() in taken:
                remarks.append(Remark(name, f"its alias {alias} is left out: the name is taken"))
            else:
                taken.add(persona.lower())
                personas.append(FoundPersona(persona, model.id))
    return Found(tuple(models), tuple(personas), tuple(remarks), tuple(left_out))


def _read_entry(name: str, entry: Any, macros: Macros, around: Surroundings) -> tuple[FoundModel, list[str]]:
    command = entry.get("cmd") if isinstance(entry, dict) else None
    if not isinstance(command, str):
        raise FormatError("it has no `cmd`")
    own = macros.with_own(entry.get("macros"), {"MODEL_ID": name, "PORT": PORT_UNSET})
    before, arguments = server_arguments(command_words(own.expand(without_comments(command))))
    env = dict(_variables(entry, own))
    served = read_server(name, arguments, Home(around.folder, env, around.known))
    said = [line for key, line in _NOT_TAKEN.items() if entry.get(key)] + list(served.remarks)
    if others := sorted(name for name in env if not is_read(name)):
        said.append(f"its variables {', '.join(others)} are not taken over")
    if before:
        said.append(f"what stands before llama-server is not taken over: {' '.join(before)}")
    title = entry.get("name")
    model = replace(
        served.model,
        id=to_id(name),
        display_name=" ".join(title.split()) if isinstance(title, str) and title.strip() else None,
        notes=str(entry["description"]) if entry.get("description") else None,
    )
    return model, said


def _variables(entry: Mapping[str, Any], macros: Macros) -> Iterator[tuple[str, str]]:
    env = entry.get("env") or []
    if not isinstance(env, list):
        raise FormatError("its `env` is no list of NAME=value")
    for text in env:
        name, _, value = macros.expand(str(text)).partition("=")
        yield name, value


def _aliases(entry: Mapping[str, Any]) -> Iterator[str]:
    """A name, or since 2026 a mapping with an id."""
    aliases = entry.get("aliases") or ()
    for alias in aliases if isinstance(aliases, list) else ():
        name = alias.get("id") if isinstance(alias, dict) else alias
        if name:
            yield str(name)


def _preloaded(document: Mapping[str, Any]) -> frozenset[str]:
    hooks = document.get("hooks")
    startup = hooks.get("on_startup") if isinstance(hooks, dict) else None
    names = startup.get("preload") if isinstance(startup, dict) else None
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def _idle(entry: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """-1 stands for the global value, 0 for never."""
    ttl = entry.get("ttl", -1)
    if ttl == -1:
        ttl = document.get("globalTTL", 0)
    if not isinstance(ttl, int | float) or isinstance(ttl, bool) or ttl <= 0:
        return []
    unloaded = f"it was unloaded after {format_seconds(ttl)} without requests"
    return [f"{unloaded}; here `settings.pool.idle_timeout` holds for all"]


def _general(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("groups") or document.get("matrix"):
        yield "which models may run together is not taken over; the memory of the machine decides"
    if document.get("apiKeys"):
        yield "its API keys are not taken over"
    if document.get("healthCheckTimeout"):
        seconds = document["healthCheckTimeout"]
        yield f"its healthCheckTimeout is not taken over; `settings.ready_timeout: {seconds}s` is the same"
    if document.get("startPort"):
        yield "its startPort is not taken over; `settings.pool.ports` says which ports are given"
    if document.get("peers"):
        yield "its peers are not taken over"
