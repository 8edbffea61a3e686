"""`modelctl rollback`: let a model serve what it served before."""

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.serving import serve, serving_options
from reconciler.core.errors import ExitCode


@declare("rollback", short_help="Let a model serve the version from before.")
@click.argument("model")
@click.option("--to", "version", metavar="VERSION", help="Default: the version that answered before.")
@serving_options
def command(
    context: Context, *, model: str, version: str | None, commit: bool, dry_run: bool, yes: bool
) -> ExitCode:
    """Let MODEL serve the version that it served before, as `modelctl history MODEL` shows it.

    The spec is edited as by `modelctl promote`, so that the next apply leaves it so; a watcher that follows
    commits needs --commit for that.
    """
    from reconciler.reconcile.versions import rollback  # noqa: PLC0415

    return serve(
        context,
        lambda spec, state: rollback(spec, model, version, state),
        commit=commit,
        dry_run=dry_run,
        yes=yes,
    )
