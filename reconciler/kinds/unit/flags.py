"""Settings of a runtime → the flags of its llama-server, checked against the build that will read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.endpoint import Endpoint, SocketEndpoint
from reconciler.core.engine import Engine, EngineFlag
from reconciler.core.errors import EngineError
from reconciler.kinds.unit.flag_rules import refuse_owned, unknown

FlagValue = bool | int | float | str | Sequence[str]

CACHE_RAM_MIB = 512
"""Prompts kept in RAM per runtime. llama-server's own default of 8192 MiB per process overcommits a machine
with several; this holds one conversation of about 9,000 tokens of a 7B model. `cache-ram` overrides it."""

_UBATCH = 512
"""llama-server's default; an input to embed must fit into one such batch."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """An adapter in the store and the factor on its weights."""

    path: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What one llama-server is to do; paths are absolute."""

    model: str
    endpoint: Endpoint
    aliases: tuple[str, ...]
    """Names that `/v1/models` shows; llama-server answers under the alphabetically first."""
    context_tokens: int | None
    """What one request may use, however many run at once; None is all that the model was trained for."""
    parallel: int = 1
    placement: tuple[str, ...] = ()
    """Flags that lay out the model over devices, ready to use."""
    mmproj: str | None = None
    loras: tuple[LoraFile, ...] = ()
    draft: str | None = None
    embedding: bool = False
    api_key_file: str | None = None
    slot_save_path: str | None = None
    threads: int | None = None
    """CPU threads; None is one per core, which spin for each other and so starve many small runtimes."""
    flags: Mapping[str, FlagValue] = field(default_factory=dict)
    """The spec's further flags: names without dashes; a list is joined by commas."""


def compile_flags(settings: RuntimeSettings, engine: Engine) -> tuple[str, ...]:
    """The arguments behind the engine's command, in a fixed order.

    llama-server divides `--ctx-size` among its slots, so it gets `context_tokens` once per slot. Without
    `context_tokens` the slots share one KV cache of the model's own length instead. `--fit` is off: fitting
    each process by itself races with the others, and would undo the placement. Raises EngineError for a
    flag that the build does not know, that a setting of the spec stands for, or whose value cannot be.
    """
    argv = _Argv(engine, settings.flags)
    argv.put("--model", settings.model)
    argv.put("--alias", ",".join(settings.aliases))
    _address(argv, settings.endpoint)
    _context(argv, settings)
    argv.put_all(settings.placement)
    _loras(argv, settings.loras)
    for name, path in (
        ("--mmproj", settings.mmproj),
        ("--model-draft", settings.draft),
        ("--api-key-file", settings.api_key_file),
        ("--slot-save-path", settings.slot_save_path),
    ):
        if path is not None:
            argv.put(name, path)
    argv.put("--metrics")
    if settings.threads is not None:
        argv.prefer("--threads", str(settings.threads))
    argv.prefer("--fit", "off")
    argv.prefer("--cache-ram", str(CACHE_RAM_MIB))
    argv.prefer("--no-webui")
    argv.prefer("--offline")
    argv.put_users()
    return tuple(argv.words)


def _address(argv: "_Argv", endpoint: Endpoint) -> None:
    if isinstance(endpoint, SocketEndpoint):
        argv.put("--host", endpoint.path)
    else:
        argv.put("--host", endpoint.host)
        argv.put("--port", str(endpoint.port))


def _context(argv: "_Argv", settings: RuntimeSettings) -> None:
    tokens = settings.context_tokens
    argv.put("--parallel", str(settings.parallel))
    if tokens is not None:
        argv.put("--ctx-size", str(tokens if argv.wants("--kv-unified") else tokens * settings.parallel))
    elif settings.parallel > 1:
        argv.prefer("--kv-unified")
    if settings.embedding:
        argv.put("--embedding")
        if tokens is not None and tokens > _UBATCH:
            argv.prefer("--batch-size", str(tokens))
            argv.prefer("--ubatch-size", str(tokens))


def _loras(argv: "_Argv", loras: tuple[LoraFile, ...]) -> None:
    if not loras:
        return
    if all(lora.scale == 1.0 for lora in loras):
        argv.put("--lora", ",".join(_cell(lora.path) for lora in loras))
    else:
        argv.put("--lora-scaled", ",".join(_cell(f"{lora.path}:{lora.scale:g}") for lora in loras))


def _cell(text: str) -> str:
    """An element of a comma-separated value, quoted as llama.cpp reads it."""
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


class _Argv:
    """Arguments in the making, and which of the spec's own flags they leave room for."""

    def __init__(self, engine: Engine, flags: Mapping[str, FlagValue]) -> None:
        self.words: list[str] = []
        self._engine = engine
        self._users: dict[EngineFlag, tuple[str, FlagValue]] = {}
        for name, value in sorted(flags.items()):
            refuse_owned(name)
            spelling = _spelling(name, engine)
            flag = engine.flags.get(spelling) or unknown(spelling, engine)
            if flag in self._users:
                raise EngineError(
                    f"the flags {self._users[flag][0]} and {spelling} are one",
                    hint=f"keep one of them in the model's `flags`: {', '.join(flag.names)}",
                )
            self._users[flag] = (spelling, value)

    def put(self, name: str, value: str | None = None) -> None:
        """Add a flag that we decide on; the spec's flags may not give it as well."""
        flag = self._engine.flags.get(name) or unknown(name, self._engine)
        if flag in self._users:
            raise EngineError(
                f"the flag {self._users[flag][0]} is already given as {name} {value or ''}".rstrip(),
                hint="remove it from the model's `flags`",
            )
        self.words += [name] if value is None else [name, value]

    def prefer(self, name: str, value: str | None = None) -> None:
        """Add a flag unless the spec says otherwise, or the build is too old to know it."""
        flag = self._engine.flags.get(name)
        if flag is not None and flag not in self._users:
            self.words += [name] if value is None else [name, value]

    def put_all(self, words: Sequence[str]) -> None:
        """Add flags that are words already; each is checked."""
        left = iter(words)
        for name in left:
            flag = self._engine.flags.get(name) or unknown(name, self._engine)
            self.put(name, next(left) if flag.value is not None else None)

    def wants(self, name: str) -> bool:
        """Whether the spec's flags turn this switch on."""
        flag = self._engine.flags.get(name)
        if flag is None or flag not in self._users:
            return False
        spelling, value = self._users[flag]
        return bool(value) != _is_opposite(spelling)

    def put_users(self) -> None:
        for flag, (spelling, value) in self._users.items():
            self.words += _words(flag, spelling, value)


def _spelling(name: str, engine: Engine) -> str:
    """The flag as it is typed: `flash-attn` or `flash_attn` is `--flash-attn`, `fa` is `-fa`."""
    bare = name.lstrip("-")
    long, short = f"--{bare.replace('_', '-')}", f"-{bare}"
    return short if long not in engine.flags and short in engine.flags else long


def _is_opposite(spelling: str) -> bool:
    return spelling.startswith(("--no-", "-no-", "-nkvo", "-nocb", "-nr"))


def _words(flag: EngineFlag, spelling: str, value: FlagValue) -> list[str]:
    if flag.value is None:
        if not isinstance(value, bool):
            raise EngineError(
                f"the flag {spelling} takes no value, not {value!r}", hint="write true or false"
            )
        if value:
            return [spelling]
        other = f"--{spelling.removeprefix('--no-')}" if _is_opposite(spelling) else f"--no-{spelling[2:]}"
        return [other] if other in flag.names else []
    if isinstance(value, bool):
        if "on|off" not in flag.value:
            raise EngineError(
                f"the flag {spelling} needs a value: {flag.value}", hint="write the value, not a boolean"
            )
        return [spelling, "on" if value else "off"]
    if isinstance(value, str | int | float):
        return [spelling, str(value)]
    return [spelling, ",".join(_cell(str(item)) for item in value)]
