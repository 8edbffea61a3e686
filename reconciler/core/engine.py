"""An engine: a llama-server that is there, which build it is and which flags it knows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reconciler.core.endpoint import Endpoint, SocketEndpoint


@dataclass(frozen=True, slots=True)
class EngineFlag:
    """One option with all its spellings, opposites such as `--no-warmup` among them."""

    names: tuple[str, ...]
    value: str | None
    """The placeholder that help shows; None when the flag takes no value."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that serves a GGUF with llama-server's flags."""

    kind: Literal["server", "embedded"]
    command: tuple[str, ...]
    """What starts it; absolute, and complete but for flags."""
    socket_command: tuple[str, ...]
    """What starts it on a UNIX socket: llama-server itself stumbles over the socket file that it left."""
    version: str
    build: int | None
    """Number of llama.cpp's build; None where the binary does not know its own."""
    flags: Mapping[str, EngineFlag]
    """By every spelling."""
    removed: Mapping[str, str]
    """Flags that it names only to say that they are gone, and what it says."""

    @property
    def label(self) -> str:
        """The engine in an error's words."""
        name = "the embedded llama.cpp" if self.kind == "embedded" else "llama-server"
        return f"{name} {f'b{self.build}' if self.build else self.version}"

    def command_for(self, endpoint: Endpoint) -> tuple[str, ...]:
        return self.socket_command if isinstance(endpoint, SocketEndpoint) else self.command


_NAME = r"-{1,2}[A-Za-z][\w.-]*"
_OPTION = re.compile(rf"^({_NAME}(?:,\s+{_NAME})*)(?: (\S.*?))?(?:\s{{2,}}(.*))?$")
_REMOVED = "the argument has been removed"
_VERSION = re.compile(r"^version: (.+)$", re.MULTILINE)
_BUILD = re.compile(r"\bbuild (\d+)|^(\d+) \(")


def read_help(text: str) -> tuple[dict[str, EngineFlag], dict[str, str]]:
    """The flags that `--help` lists, by every spelling, and the removed ones with what it says of them.

    Reads the layout of llama.cpp's common/arg.cpp: options at the line's start, explanations to their right
    after at least two blanks, or indented on the lines below.
    """
    flags: dict[str, EngineFlag] = {}
    removed: dict[str, str] = {}
    current: EngineFlag | None = None
    said: list[str] = []

    def close() -> None:
        words = " ".join(said)
        for name in current.names if current else ():
            if words.startswith(_REMOVED):
                removed[name] = words.partition(" (env:")[0]
            elif current:
                flags[name] = current

    for line in text.splitlines():
        option = _OPTION.match(line)
        if option:
            close()
            current = EngineFlag(tuple(re.split(r",\s+", option[1])), option[2])
            said = [option[3]] if option[3] else []
        elif line.startswith(" ") and line.strip():
            said.append(line.strip())
    close()
    return flags, removed


def read_version(text: str) -> tuple[str, int | None] | None:
    """Version and build from what `--version` prints, None when it is not llama.cpp's.

    Known forms: `version: 6123 (abcdef0)` and `version: 0.6.0 (build 11434, commit abcdef0)`; a build from a
    source archive calls itself build 0.
    """
    found = _VERSION.search(text)
    if found is None:
        return None
    version = found[1].strip()
    number = _BUILD.search(version)
    build = int(number[1] or number[2]) if number else 0
    return version, build or None
