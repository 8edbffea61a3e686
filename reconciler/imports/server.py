"""The command line of a llama-server as a model of the spec."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote

from reconciler.core.engine import EngineFlag
from reconciler.core.errors import FormatError
from reconciler.imports import server_flags
from reconciler.imports.found import FlagValue, FoundModel, to_id
from reconciler.kinds.placement.memory_flags import placing_flags

PORT_UNSET = "${PORT}"
"""llama-swap's port that is chosen when a model starts."""

_SERVERS = {"llama-server", "llama-server.exe", "modelctl-llama-server"}
_OLD_SERVER = "server"
"""What llama-server was called until the middle of 2024."""
_CONTAINERS = {"docker", "podman", "nerdctl", "apptainer", "singularity"}
_SHELLS = {"sh", "bash", "zsh", "dash", "fish", "ksh"}
_EMBEDDED = "/reconciler/embedded"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_UNIFIED = {"kv-unified", "kvu"}
_SLOTS = (
    "its command does not say --parallel: here it has one slot. Newer llama-servers have four that share the"
    " context: `parallel: 4` with `flags: {kv-unified: true}` is that"
)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a command line runs: what its relative paths and its variables mean."""

    folder: str
    """Absolute."""
    environment: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, EngineFlag] = field(default_factory=dict)
    """The flags of the engine that will serve, by every spelling; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Served:
    """A llama-server in words of the spec, and what could not be said in them."""

    model: FoundModel
    remarks: tuple[str, ...]


def server_arguments(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands before llama-server (`taskset`, `nice`, our launcher), and its arguments.

    FormatError where the words do not start a llama-server of this machine.
    """
    first = posixpath.basename(words[0]) if words else ""
    if first in _CONTAINERS:
        raise FormatError("it runs in a container", hint="name the GGUF and its settings by hand")
    if first in _SHELLS:
        raise FormatError("it is started through a shell, whose command is not guessed at")
    places = [index for index, word in enumerate(words) if _is_server(word)]
    flags = [index for index, word in enumerate(words) if word in {"-m", "--model"}]
    starts = [index for index in places if not flags or index < flags[0]]
    if not starts:
        raise FormatError("it is no llama-server")
    at = starts[-1]
    return tuple(words[:at]), tuple(words[at + 1 :])


def read_server(name: str, arguments: Sequence[str], home: Home) -> Served:
    """Read the arguments of a llama-server. FormatError where they name no file that can be adopted."""
    said = _Arguments(home)
    said.read_environment(home.environment)
    said.read(arguments)
    settings, flags, remarks = said.settings, said.flags, said.remarks
    alias = settings.get("alias", "").split(",")[0].strip()
    parallel = _count(settings, "parallel", remarks) or 1
    unified = any(flags.get(flag) is True for flag in _UNIFIED)
    if "parallel" not in settings:
        remarks.append(_SLOTS)
    strategy = _strategy(flags)
    model = FoundModel(
        name=name,
        id=to_id(alias or name),
        gguf_url=_source(settings, home),
        mmproj={"url": _file(settings["mmproj"], home)} if "mmproj" in settings else None,
        loras=tuple(_loras(settings, home)),
        draft={"url": _file(settings["model-draft"], home)} if "model-draft" in settings else None,
        context_tokens=_context(settings, parallel, unified, remarks),
        parallel=parallel,
        embedding="embedding" in settings,
        strategy=strategy,
        port=_port(settings, remarks),
        flags={name: value for name, value in flags.items() if (name, strategy) != ("fit", "fit")},
    )
    return Served(model, tuple(remarks))


def _is_server(word: str) -> bool:
    base = posixpath.basename(word)
    return base in _SERVERS or word.endswith(_EMBEDDED) or (base == _OLD_SERVER and "llama" in word)


class _Arguments:
    """Words, sorted out: settings by their long name, other flags as the spec writes them, and remarks."""

    def __init__(self, home: Home) -> None:
        self.settings: dict[str, str] = {}
        self.flags: dict[str, FlagValue] = {}
        self.remarks: list[str] = []
        self._known = home.known

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Variables that say what flags can say; flags that are read later win over them."""
        for variable, value in sorted(environment.items()):
            setting = server_flags.ENVIRONMENT.get(variable)
            if setting in server_flags.SWITCHES:
                self.read([f"--{setting}"] if value.lower() in {"1", "true", "on", "enabled"} else [])
            elif setting is not None:
                self.settings[setting] = value
            elif variable in server_flags.ENVIRONMENT_FLAGS:
                self.read([f"--{server_flags.ENVIRONMENT_FLAGS[variable]}", value])
            elif variable == "CUDA_VISIBLE_DEVICES":
                self.remarks.append(
                    "CUDA_VISIBLE_DEVICES is not taken over; the GPUs of the profile take its place"
                )
            elif server_flags.is_read(variable):
                self.remarks.append(f"the variable {variable} is not taken over")

    def read(self, words: Sequence[str]) -> None:
        left = list(words)
        while left:
            word = left.pop(0)
            if not server_flags.is_flag(word):
                self.remarks.append(f"the word {word!r} belongs to no flag and is left out")
                continue
            if word.startswith("--") and "=" in word:
                word, _, joined = word.partition("=")
                left.insert(0, joined)
            name = server_flags.name_of(word)
            value = None
            if server_flags.takes_value(name, left[0] if left else None, self._known):
                value = left.pop(0)
            setting = server_flags.SETTINGS.get(name)
            if setting == "lora-scaled" and left and _is_scale(left[0]):  # the form until 2025: FNAME SCALE
                value = f"{value}:{left.pop(0)}"
            if setting is not None:
                self._set(setting, value, word)
            elif name in server_flags.LEFT_OUT:
                shown = word if name in server_flags.SECRETS or value is None else f"{word} {value}"
                self.remarks.append(f"{shown} is left out: {server_flags.LEFT_OUT[name]}")
            else:
                self._keep(server_flags.long_name(name, self._known), value, word)

    def _set(self, setting: str, value: str | None, word: str) -> None:
        if setting not in server_flags.SWITCHES and value is None:
            raise FormatError(f"its flag {word} lacks a value")
        earlier = self.settings.get(setting) if setting in server_flags.ACCUMULATING else None
        self.settings[setting] = f"{earlier},{value}" if earlier else value or ""

    def _keep(self, name: str, value: str | None, word: str) -> None:
        read: FlagValue = True if value is None else server_flags.to_value(value)
        if value in server_flags.CHOSEN_BY_SERVER.get(name, ()):
            self.remarks.append(f"{word} {value} leaves the choice to llama-server; here placement decides")
            return
        if server_flags.SAME.get(name) == read:
            return
        if name in server_flags.SECRETS:
            self.remarks.append(f"{word} is left out: a secret does not belong into the spec")
            return
        if self._known and f"--{name}" not in self._known and f"-{name}" not in self._known:
            self.remarks.append(
                f"the engine here does not know {word}; `modelctl plan` says what took its place"
            )
        self.flags = server_flags.with_flag(self.flags, name, read)


def _strategy(flags: Mapping[str, FlagValue]) -> Literal["manual", "fit"] | None:
    """A command that says what lies where goes on saying it; else placement decides, or llama.cpp's own."""
    if placing_flags(flags):
        return "manual"
    return "fit" if flags.get("fit") == "on" else None


def _is_scale(word: str) -> bool:
    return not server_flags.is_flag(word) and isinstance(server_flags.to_value(word), int | float)


def _source(settings: Mapping[str, str], home: Home) -> str:
    if "model" in settings:
        return _file(settings["model"], home)
    if "model-url" in settings:
        return settings["model-url"]
    if "hf-repo" in settings and "hf-file" in settings:
        return f"hf://{settings['hf-repo'].partition(':')[0]}/{settings['hf-file']}"
    if "hf-repo" in settings:
        raise FormatError(
            f"it takes whichever file of {settings['hf-repo']} fits; a spec names one",
            hint="write its gguf_url by hand: hf://org/repo/file.gguf",
        )
    raise FormatError("its command names no model")


def _file(path: str, home: Home) -> str:
    """A path as a source; what `%` means in an address is escaped."""
    return f"file://{quote(posixpath.normpath(posixpath.join(home.folder, path)))}"


def _loras(settings: Mapping[str, str], home: Home) -> list[dict[str, Any]]:
    loras: list[dict[str, Any]] = [
        {"url": _file(path, home)} for path in settings.get("lora", "").split(",") if path
    ]
    for entry in filter(None, settings.get("lora-scaled", "").split(",")):
        path, _, scale = entry.rpartition(":")
        try:
            loras.append({"url": _file(path, home), "scale": float(scale)})
        except ValueError:
            raise FormatError(f"its --lora-scaled {entry} has no scale") from None
    return loras


def _context(settings: Mapping[str, str], parallel: int, unified: bool, remarks: list[str]) -> int | None:
    """llama-server divides `--ctx-size` among its slots; with one cache for all, each may use all of it."""
    total = _count(settings, "ctx-size", remarks)
    if total is None or unified:
        return total
    if total < parallel:
        raise FormatError(f"its {total} tokens of context are less than its {parallel} slots")
    if total % parallel:
        remarks.append(
            f"--ctx-size {total} is no multiple of {parallel} slots; each gets {total // parallel} tokens"
        )
    return total // parallel


def _count(settings: Mapping[str, str], name: str, remarks: list[str]) -> int | None:
    """A number above 0; llama-server's 0 and -1 mean that it chooses itself."""
    text = settings.get(name)
    if text is None:
        return None
    try:
        number = int(text)
    except ValueError:
        raise FormatError(f"its --{name} {text} is no number") from None
    if number > 0:
        return number
    remarks.append(f"--{name} {number} leaves the choice to llama-server; the spec says it instead")
    return None


_HIGHEST_PORT = 65535


def _port(settings: Mapping[str, str], remarks: list[str]) -> int | None:
    host = settings.get("host", "127.0.0.1")
    if host.startswith("/") or host.endswith(".sock"):
        return None
    if host not in _LOOPBACK:
        remarks.append(
            f"it listens on {host}; here it listens on loopback, and others call the gateway "
            "(`settings.gateway.listen`)"
        )
    text = settings.get("port", "8080")
    if text == PORT_UNSET:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= _HIGHEST_PORT:
        raise FormatError(f"its port {text} is none")
    return int(text)


def renamed(model: FoundModel, taken: set[str]) -> FoundModel:
    """`model` under an id that nobody has, ids that differ only in case included; the id is then taken."""
    wanted, number = model.id, 1
    while model.id.lower() in taken:
        number += 1
        model = replace(model, id=f"{wanted[:76]}-{number}")
    taken.add(model.id.lower())
    return model
