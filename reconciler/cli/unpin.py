"""`modelctl unpin`: let a model's version change again."""

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.pinning import write_pin


@declare("unpin", short_help="Let a model's version change again.")
@click.argument("model")
@click.option("--commit", is_flag=True, help="Commit the edited spec file.")
def command(context: Context, *, model: str, commit: bool) -> None:
    """Take the pin of MODEL away. It also mends a spec that is invalid because of that pin."""
    from reconciler.core.types import ModelId  # noqa: PLC0415
    from reconciler.spec.edit import SetPin  # noqa: PLC0415

    write_pin(context, model, None, [SetPin(ModelId(model), None)], message=f"Unpin {model}", commit=commit)
