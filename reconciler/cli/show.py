"""`modelctl show`: everything about one model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import table
from reconciler.core.sizes import format_bytes

if TYPE_CHECKING:
    from reconciler.reconcile.details import Details


@declare("show", short_help="Show one model: versions, profiles, files, command.")
@click.argument("model")
def command(context: Context, *, model: str) -> None:
    """Show MODEL: its versions and their files, where it is served, and with which command."""
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.details import details  # noqa: PLC0415
    from reconciler.spec.find import find_model  # noqa: PLC0415

    source = session.read_source(Path(context.spec))
    entry = find_model(source.spec, model)
    site = session.open_source(source)
    with site.state() as state:
        found = details(source.spec, entry, site, state, session.facts(source.spec, site, state))
    context.output.document(found.document(), lambda: _render(found))


def _render(found: "Details") -> str:
    document: dict[str, Any] = found.document()
    heads = [(key.replace("_", " "), _words(document[key])) for key in ("id", "display_name", "purpose_tags")]
    heads += [
        (key.replace("_", " "), _words(document[key])) for key in ("residency", "context_tokens", "parallel")
    ]
    lines = [table(("", ""), heads).strip(), ""]
    lines.append(
        table(
            ("VERSION", "CURRENT", "PINNED", "SIZE", "SHA256", "SOURCE"),
            [
                (
                    version.version_id,
                    "yes" if version.current else "-",
                    "yes" if version.pinned else "-",
                    "not pulled" if version.size_bytes is None else format_bytes(version.size_bytes),
                    version.sha256[:12] if version.sha256 else "unresolved",
                    version.source,
                )
                for version in found.versions
            ],
        )
    )
    for runtime in found.runtimes:
        lines += ["", f"{runtime.name}  {runtime.state}  {runtime.endpoint}", "  " + " ".join(runtime.argv)]
    return "\n".join(lines)


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else str(value)
