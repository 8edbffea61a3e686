"""`modelctl list`: the models of the spec and what is there of them."""

from pathlib import Path

from reconciler.cli.context import Context, declare
from reconciler.cli.output import table
from reconciler.core.sizes import format_bytes


@declare("list", short_help="List models with version, size, profile and status.")
def command(context: Context) -> None:
    """List the models of the spec: version, size, profile and status."""
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415
    from reconciler.reconcile.catalogue import catalogue  # noqa: PLC0415
    from reconciler.reconcile.site import open_site  # noqa: PLC0415
    from reconciler.spec.load import load  # noqa: PLC0415

    spec = load(read_spec_folder(Path(context.spec)))
    site = open_site(spec.settings, Path(context.spec))
    with site.state() as state:
        entries = catalogue(spec, site, state)
    headers = ("ID", "VERSION", "SIZE", "PROFILE", "STATUS", "PINNED", "PURPOSE")
    context.output.document(
        {"models": [entry.document() for entry in entries]},
        lambda: table(
            headers,
            [
                (
                    entry.id,
                    entry.version,
                    "-" if entry.size_bytes is None else format_bytes(entry.size_bytes),
                    entry.profile or "-",
                    entry.status,
                    "yes" if entry.pinned else "-",
                    ", ".join(entry.purpose_tags) or "-",
                )
                for entry in entries
            ],
        ),
    )
