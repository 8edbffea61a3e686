"""`modelctl placement`: what goes where, what it takes, and what is left."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from reconciler.kinds.placement.types import Wish
    from reconciler.reconcile.placement_view import Check, View
    from reconciler.reconcile.site import Site
    from reconciler.spec.model import Model


@declare("placement", short_help="Show what goes on which device, and what is left.")
@click.argument("model", required=False)
@click.option("--check", is_flag=True, help="Ask llama-fit-params for a second opinion on MODEL.")
def command(context: Context, *, model: str | None, check: bool) -> ExitCode:
    """Show what the runtimes of the active profile take of every device, or MODEL's placement in detail.

    Of a version that was not pulled yet its source is asked, which needs a few requests and no download. An
    on_demand MODEL is shown as it would be placed beside those that are always loaded. Changes nothing.
    """
    from reconciler.cli.placement_text import render_ledger, render_runtime  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.placement_view import copies, look  # noqa: PLC0415
    from reconciler.reconcile.profile import active_profile  # noqa: PLC0415
    from reconciler.spec.find import find_model  # noqa: PLC0415

    if check and model is None:
        raise UsageError("--check looks at one model", hint="name it: modelctl placement MODEL --check")
    spec = session.read_spec(Path(context.spec))
    entry = None if model is None else find_model(spec, model)
    site = session.open_folder(Path(context.spec))
    with site.state() as state:
        active = active_profile(spec, site, state)
        view = look(spec, site, state, active, entry.model_id if entry else None)
    document = view.document()
    if entry is None:
        context.output.document(document, lambda: render_ledger(document))
        refused = any(runtime["reason"] for runtime in document["runtimes"])
        return ExitCode.FAILED if refused else ExitCode.OK
    wish = _wish(view, entry)
    one = next(runtime for runtime in document["runtimes"] if runtime["name"] == wish.unit)
    others = tuple(f"{runtime['name']}: " for runtime in document["runtimes"] if runtime is not one)
    checks = _checks(view, wish, site, entry) if check else ()
    answer: dict[str, Any] = {
        **document,
        "runtimes": [one],
        "warnings": [warning for warning in document["warnings"] if not warning.startswith(others)],
        "most_copies": copies(view, wish, site),
        "checks": [found.document() for found in checks],
    }
    context.output.document(answer, lambda: render_runtime(answer))
    return ExitCode.FAILED if one["reason"] or any(found.flagged for found in checks) else ExitCode.OK


def _wish(view: "View", model: "Model") -> "Wish":
    found = next((wish for wish in view.wishes if wish.model == model.model_id), None)
    if found is None:
        serving = ", ".join(name for name, settings in model.profiles.items() if settings) or "none"
        raise UsageError(
            f"model `{model.id}` is not served under profile {view.ground.profile}, which is active",
            hint=f"profiles that serve it: {serving}",
        )
    return found


def _checks(view: "View", wish: "Wish", site: "Site", model: "Model") -> "tuple[Check, ...]":
    from reconciler.kinds.artifact.layout import artifact_paths  # noqa: PLC0415
    from reconciler.reconcile.placement_view import check  # noqa: PLC0415

    return check(view, wish, site, artifact_paths(site.places, model.model_id, model.current).model)
