"""`modelctl completion`: the script that makes a shell complete our commands and options."""

import click
from click.shell_completion import get_completion_class

from reconciler.cli.context import Context, declare
from reconciler.core.errors import UsageError

_SHELLS = ("bash", "zsh", "fish")


@declare("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(context: Context, *, shell: str) -> None:
    """Print the completion script of a shell.

    bash: modelctl completion bash > ~/.local/share/bash-completion/completions/modelctl
    """
    from reconciler.cli import group  # noqa: PLC0415 - the group imports this module

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}", hint=f"one of: {', '.join(_SHELLS)}")
    context.output.raw(found(group, {}, "modelctl", "_MODELCTL_COMPLETE").source().rstrip())
