"""Writes the docs that follow from the code: the commands, the spec's reference and its JSON Schema.

`make docs` runs it; tests/docs holds the committed files to what it would write.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from reconciler.cli import COMMANDS, group
from reconciler.spec.reference import render_reference
from reconciler.spec.schema import schema, schema_text

HERE = Path(__file__).parent


def generated() -> dict[str, str]:
    """File name → text, of every generated file in this folder."""
    return {
        "commands.md": "\n".join(_commands()) + "\n",
        "spec.md": render_reference(schema()),
        "spec.schema.json": schema_text(),
    }


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "Made by `make docs` from the commands' own help.\n"
    yield f"```text\n{_help(group, 'modelctl')}\n```"
    context = click.Context(group, info_name="modelctl")
    for name in COMMANDS:
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        yield f"\n## modelctl {name}\n"
        yield f"```text\n{_help(command, f'modelctl {name}')}\n```"
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                yield f"\n### modelctl {name} {inner}\n"
                yield f"```text\n{_help(sub, f'modelctl {name} {inner}')}\n```"


def _help(command: click.Command, name: str) -> str:
    with click.Context(command, info_name=name, terminal_width=100, max_content_width=100) as context:
        return command.get_help(context)


if __name__ == "__main__":
    for file, text in generated().items():
        (HERE / file).write_text(text, encoding="utf-8")
