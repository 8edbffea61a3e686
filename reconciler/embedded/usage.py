"""The command line of the embedded engine: reading it, and explaining it as llama-server does."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.embedded.flags import FLAGS, Flag

_COLUMN = 40
_HELP_WIDTH = 70


class CommandLineError(Exception):
    """A flag or value that cannot be used; its text is what llama-server would print."""


@dataclass(frozen=True, slots=True)
class Given:
    """A flag as it was typed, with its value; a switch has `on` or `off`."""

    spelling: str
    flag: Flag
    value: str


def read_command_line(arguments: Sequence[str]) -> list[Given]:
    """All flags in order. Underscores count as dashes, as in llama-server. Raises CommandLineError."""
    spellings = {name: (flag, "on") for flag in FLAGS for name in flag.names}
    spellings |= {name: (flag, "off") for flag in FLAGS for name in flag.off}
    given: list[Given] = []
    left = iter(arguments)
    for argument in left:
        name = argument.replace("_", "-") if argument.startswith("--") else argument
        if name not in spellings:
            raise CommandLineError(f"error: invalid argument: {name}")
        flag, value = spellings[name]
        if flag.value is not None:
            try:
                value = next(left)
            except StopIteration:
                raise unusable(Given(name, flag, ""), "expected value for argument") from None
        given.append(Given(name, flag, value))
    return given


def unusable(given: Given, why: str) -> CommandLineError:
    return CommandLineError(
        f'error while handling argument "{given.spelling}": {why}\n\n'
        f"usage:\n{_explain(given.flag.names, given.flag)}\n\nto show complete usage, run with -h"
    )


def usage() -> str:
    """Everything that `--help` prints; one parser reads this and llama-server's."""
    common = [
        _line("-h, --help, --usage", "print usage and exit"),
        _line("--version", "show version and build info"),
    ]
    flags = [_explain((*flag.names, *flag.off), flag) for flag in FLAGS]
    return "\n".join(("----- common params -----", "", *common, *flags))


def _explain(names: Sequence[str], flag: Flag) -> str:
    spelled = ", ".join(names)
    return _line(f"{spelled} {flag.value}" if flag.value else spelled, flag.help)


def _line(left: str, help_text: str) -> str:
    wrapped = textwrap.wrap(help_text, _HELP_WIDTH)
    if len(left) >= _COLUMN:
        return "\n".join((left, *(" " * _COLUMN + line for line in wrapped)))
    return ("\n" + " " * _COLUMN).join((left.ljust(_COLUMN) + wrapped[0], *wrapped[1:]))
