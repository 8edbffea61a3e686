"""What every command is given: where the spec is, how to print, whom to ask."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from reconciler.cli.output import Format, Output


@dataclass(frozen=True, slots=True)
class Context:
    """The options that all commands share."""

    spec: str
    """Folder of the spec."""
    output: Output


def declare(name: str, **extra: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command whose function takes a `Context` first and returns an exit code or None."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def call(*, spec: str, format_: str, no_input: bool, debug: bool, **rest: Any) -> Any:
            del debug  # read by `main` from the command line, so that it holds for every failure
            chosen = Format(format_)
            interactive = (
                not no_input and chosen is Format.TEXT and sys.stdin.isatty() and sys.stderr.isatty()
            )
            return function(Context(spec=spec, output=Output(chosen, interactive)), **rest)

        shared = (
            click.option(
                "--spec",
                metavar="DIR",
                envvar="MODELCTL_SPEC",
                default="spec",
                show_default=True,
                help="Folder of the spec.",
            ),
            click.option(
                "--format",
                "format_",
                type=click.Choice([f.value for f in Format]),
                default=Format.TEXT.value,
                show_default=True,
                help="How results are printed.",
            ),
            click.option("--no-input", is_flag=True, help="Never ask; what needs an answer is refused."),
            click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        )
        decorated: Callable[..., Any] = call
        for option in reversed(shared):
            decorated = option(decorated)
        return click.command(name, cls=click.Command, **extra)(decorated)

    return wrap
