"""`modelctl export`: the runtimes of the active profile as files of PM2, Compose or Podman."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import Refused

if TYPE_CHECKING:
    from reconciler.exports.runtime import Runtime

_FORMATS = ("pm2", "compose", "quadlet")


@declare("export", short_help="Write the runtimes as files of PM2, Compose or Podman.")
@click.argument("target", metavar="[pm2|compose|quadlet]", type=click.Choice(_FORMATS))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write into this folder instead of printing; nothing there is overwritten.",
)
def command(context: Context, *, target: str, out: Path | None) -> None:
    """The runtimes that the active profile keeps loaded, as an ecosystem file, a Compose file or quadlets.

    Ports, limits and llama-server's flags are those that `modelctl apply` would use; the files stay in our
    store and are mounted from there. Nothing is started or stopped.
    """
    files = _render(target, _runtimes(context))
    if out is not None:
        _write(out, files)
    context.output.document(
        {"files": files, "written": [str(out / name) for name in files] if out else []},
        lambda: "\n".join(f"wrote {out / name}" for name in files) if out else _joined(files),
    )


def _runtimes(context: Context) -> "list[Runtime]":
    from reconciler.core.errors import EngineError  # noqa: PLC0415
    from reconciler.exports.runtime import Runtime  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.reconcile.desired import compile_spec  # noqa: PLC0415

    source = session.read_source(Path(context.spec))
    site = session.open_source(source)
    with site.state() as state:
        facts = session.facts(source.spec, site, state)
    # Without our gateway, each runtime listens on its port itself.
    models = [model.model_copy(update={"rollout": "recreate"}) for model in source.spec.models]
    desired = compile_spec(source.spec.model_copy(update={"models": models}), source.revision, facts)
    runtimes = []
    for unit in desired.units:
        if unit.blocked is not None:
            raise EngineError(f"{unit.name}: {unit.blocked[0]}", hint=unit.blocked[1])
        command_words = len(site.engine.command_for(unit.endpoint))
        folder = site.places.version(unit.model, unit.version)
        runtimes.append(Runtime(unit.definition, unit.endpoint, command_words, folder))
    served = {unit.model for unit in desired.units}
    for model in source.spec.models:
        if model.model_id not in served:
            why = "it is loaded on demand" if model.residency == "on_demand" else "it is not served now"
            context.output.note(f"left out: {model.id}: {why} (profile {desired.profile or 'none'})")
    if source.spec.personas:
        context.output.note("left out: personas: they are the gateway's")
    return runtimes


def _render(target: str, runtimes: "list[Runtime]") -> dict[str, str]:
    if target == "pm2":
        from reconciler.exports.pm2 import to_pm2  # noqa: PLC0415

        return to_pm2(runtimes)
    if target == "compose":
        from reconciler.exports.compose import to_compose  # noqa: PLC0415

        return to_compose(runtimes)
    from reconciler.exports.quadlet import to_quadlet  # noqa: PLC0415

    return to_quadlet(runtimes)


def _write(folder: Path, files: dict[str, str]) -> None:
    from reconciler.host.files import atomic_write  # noqa: PLC0415

    for name in files:
        if (folder / name).exists():
            raise Refused(f"{folder / name} is there already", hint="name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        atomic_write(folder / name, text)


def _joined(files: dict[str, str]) -> str:
    """One file as it is; several with their names before them, as comments."""
    if len(files) == 1:
        return next(iter(files.values())).rstrip("\n")
    return "\n".join(f"# {name}\n{text}" for name, text in files.items()).rstrip("\n")
