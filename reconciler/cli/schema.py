"""`modelctl schema`: the spec's JSON Schema, for editors."""

from pathlib import Path

import click

from reconciler.cli.context import Context, declare


@declare("schema", short_help="Print the JSON Schema of the spec, for editors.")
@click.option("--out", metavar="FILE", help="Write it to a file.")
@click.option("--reference", is_flag=True, help="The reference of all keys as Markdown instead.")
def command(context: Context, out: str | None, *, reference: bool) -> None:
    """Print the JSON Schema (draft-07) of a spec file.

    Editors with the YAML language server complete and check by it where a file begins with
    `# yaml-language-server: $schema=FILE`.
    """
    from reconciler.host.files import atomic_write  # noqa: PLC0415 - start-up time
    from reconciler.spec.reference import render_reference  # noqa: PLC0415
    from reconciler.spec.schema import schema, schema_text  # noqa: PLC0415

    text = render_reference(schema()) if reference else schema_text()
    if out is None:
        context.output.raw(text.removesuffix("\n"))
    else:
        atomic_write(Path(out), text)
