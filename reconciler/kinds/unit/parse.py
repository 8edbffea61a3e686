"""Rendered units read back: the proof that escaping loses and adds nothing."""

import json
import plistlib
import re
import shlex
from collections.abc import Iterator

from reconciler.core.errors import FormatError
from reconciler.core.units import SupervisorKind

_INI_COMMENT = re.compile(r"\s[;#].*")


def parse_argv(text: str, kind: SupervisorKind) -> tuple[str, ...]:
    """The argv that the supervisor will execute, read by the rules of its own format.

    Raises FormatError when the text has no readable command.
    """
    try:
        match kind:
            case SupervisorKind.SYSTEMD | SupervisorKind.SYSTEMD_USER:
                return tuple(_systemd_words(_setting(text, "ExecStart").removeprefix(":")))
            case SupervisorKind.SUPERVISORD:
                command = _INI_COMMENT.sub("", _setting(text, "command"))
                return tuple(shlex.split(command % {}))
            case SupervisorKind.LAUNCHD:
                return tuple(plistlib.loads(text.encode())["ProgramArguments"])
            case SupervisorKind.PM2:
                (app,) = json.loads(text)["apps"]
                return (app["script"], *app["args"])
    except (ValueError, KeyError, TypeError, plistlib.InvalidFileException) as error:
        raise FormatError(f"this {kind} unit has no readable command: {error}") from error


def _setting(text: str, key: str) -> str:
    values = [line.removeprefix(f"{key}=").strip() for line in text.split("\n") if line.startswith(f"{key}=")]
    if len(values) != 1:
        raise ValueError(f"{len(values)} lines {key}=")
    return values[0]


def _systemd_words(command: str) -> Iterator[str]:
    """Split by systemd.syntax(7): blanks separate, double quotes group, backslash escapes, `%%` is one."""
    position = 0
    while position < len(command):
        if command[position] in " \t":
            position += 1
            continue
        word: list[str] = []
        quoted = False
        while position < len(command) and (quoted or command[position] not in " \t"):
            character = command[position]
            position += 1
            if character == '"':
                quoted = not quoted
            elif character == "\\":
                word.append(command[position])
                position += 1
            elif character == "%":
                if command[position : position + 1] != "%":
                    raise ValueError("a lone percent sign")
                word.append("%")
                position += 1
            else:
                word.append(character)
        if quoted:
            raise ValueError("an open quote")
        yield "".join(word)
