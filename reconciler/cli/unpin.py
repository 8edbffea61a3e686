"""`modelctl unpin`: let a model's version change again."""

from pathlib import Path

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.locking import editing
from reconciler.cli.pinning import write_pin


@declare("unpin", short_help="Let a model's version change again.")
@click.argument("model")
@click.option("--commit", is_flag=True, help="Commit the edited spec file.")
def command(context: Context, *, model: str, commit: bool) -> None:
    """Take the pin of MODEL away. It also mends a spec that is invalid because of that pin."""
    from reconciler.core.types import ModelId  # noqa: PLC0415
    from reconciler.spec.edit import SetPin  # noqa: PLC0415

    with editing(Path(context.spec)):
        edits = [SetPin(ModelId(model), None)]
        write_pin(context, model, None, edits, message=f"Unpin {model}", commit=commit)
