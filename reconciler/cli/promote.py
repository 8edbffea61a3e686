"""`modelctl promote`: let a model serve another of its versions."""

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.serving import serve, serving_options
from reconciler.core.errors import ExitCode


@declare("promote", short_help="Let a model serve another of its versions.")
@click.argument("model")
@click.option("--to", "version", metavar="VERSION", required=True, help="The version to serve.")
@serving_options
def command(
    context: Context, *, model: str, version: str, commit: bool, dry_run: bool, yes: bool
) -> ExitCode:
    """Let MODEL serve VERSION: apply it to that model alone, and set `current_version` in the spec.

    The spec is written once the version is ready and gave a token. When it does not come up, the version
    before serves again, the spec stays as it was, and the exit code is 4.
    """
    from reconciler.reconcile.versions import promotion  # noqa: PLC0415

    return serve(
        context, lambda spec, _: promotion(spec, model, version), commit=commit, dry_run=dry_run, yes=yes
    )
