"""`modelctl import`: what Ollama, PM2 or llama-swap run, as entries of the spec."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.locking import editing
from reconciler.core.errors import ExitCode, ModelctlError, SourceError, UsageError
from reconciler.core.suggest import did_you_mean

if TYPE_CHECKING:
    from reconciler.core.engine import EngineFlag
    from reconciler.imports.fit import Fitted
    from reconciler.imports.found import Found, FoundModel
    from reconciler.spec.model import Spec

_OPTIONS = (
    click.option("--profile", metavar="NAME", help="Serve it under this profile; default: the spec's first."),
    click.option("--write", is_flag=True, help="Write a new file into the spec folder instead of printing."),
)

command = click.Group(
    "import",
    short_help="Take over what Ollama, PM2 or llama-swap run.",
    help=(
        "Print what Ollama, PM2 or llama-swap run as entries of the spec. Nothing is started, stopped or "
        "changed there; with --write the entries become a new file of the spec folder."
    ),
)


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@declare("ollama", short_help="Models of a local Ollama store.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the store; default: $OLLAMA_MODELS, else where Ollama keeps it.",
)
@_shared
def _ollama(
    context: Context, *, names: tuple[str, ...], store: Path | None, profile: str | None, write: bool
) -> ExitCode:
    """Models of a local Ollama store, all or each NAME, with their prompts and sampling as personas."""
    import os  # noqa: PLC0415

    from reconciler.host.ollama_store import default_stores, read_store  # noqa: PLC0415
    from reconciler.imports.ollama import read_ollama  # noqa: PLC0415

    usual = default_stores(os.environ)
    root = store.absolute() if store else next((path for path in usual if path.is_dir()), None)
    if root is None:
        raise SourceError(
            f"there is no Ollama store at {' or '.join(map(str, usual))}", hint="name its folder with --store"
        )
    models, refused = read_store(root)
    chosen = set(map(_tagged, names)) if names else {str(model.name) for model in models}
    known = [str(model.name) for model in models] + [one.name for one in refused]
    for name in chosen - set(known):
        raise UsageError(
            f"the Ollama store at {root} has no {name}", hint=did_you_mean(name, known) or "`ollama list`"
        )
    found = read_ollama([model for model in models if str(model.name) in chosen])
    if root not in usual:
        context.output.note(
            f"set OLLAMA_MODELS={root} for `modelctl pull` and `apply`, which adopt the files"
        )
    left_out = [
        (one.name, one.why + (f" ({one.hint})" if one.hint else ""))
        for one in refused
        if not names or one.name in chosen
    ]
    code = _finish(context, "ollama", found, left_out, profile=profile, write=write)
    return ExitCode.FAILED if names and left_out else code


@declare("pm2", short_help="llama-servers of a PM2 file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_shared
def _pm2(context: Context, *, file: Path, profile: str | None, write: bool) -> ExitCode:
    """The llama-servers of FILE: dump.pm2, or an ecosystem file in JSON or YAML."""
    from reconciler.imports.pm2 import read_pm2  # noqa: PLC0415

    path = file.absolute()
    # A program is refused by its name, before it is looked at.
    text = "" if path.suffix in {".js", ".cjs", ".mjs", ".ts"} else _read(path)
    found = read_pm2(text, str(path), _known_flags(context))
    return _finish(context, "pm2", found, (), profile=profile, write=write)


@declare("llama-swap", short_help="Models of a llama-swap configuration.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_shared
def _llama_swap(context: Context, *, file: Path, profile: str | None, write: bool) -> ExitCode:
    """The models of FILE, llama-swap's configuration, with their macros expanded."""
    import os  # noqa: PLC0415

    from reconciler.imports.llama_swap import Surroundings, read_llama_swap  # noqa: PLC0415

    path = file.absolute()
    around = Surroundings(str(path), str(path.parent), os.environ, _known_flags(context))
    found = read_llama_swap(_read(path), around)
    return _finish(context, "llama-swap", found, (), profile=profile, write=write)


for _command in (_ollama, _pm2, _llama_swap):
    command.add_command(_command)


def _finish(
    context: Context,
    source: str,
    found: "Found",
    refused: Sequence[tuple[str, str]],
    *,
    profile: str | None,
    write: bool,
) -> ExitCode:
    """Fit what was found into the spec, print or write it, and say what was left out."""
    from dataclasses import replace  # noqa: PLC0415

    from reconciler.imports.fit import choose_profile, fit  # noqa: PLC0415

    folder = Path(context.spec)
    models = tuple(_with_header(model) for model in found.models)
    with editing(folder) if write else nullcontext():
        texts, spec = _spec(folder)
        fitted = fit(replace(found, models=models), spec, choose_profile(spec, profile))
        edited, new = _edits(folder, source, texts, fitted)
        written = _write(folder, {**edited, **new}) if write else []
    _say(context, fitted, refused, next(iter(new.values()), ""), written)
    return ExitCode.OK if found.models else ExitCode.FAILED


def _spec(folder: Path) -> "tuple[Mapping[str, str], Spec]":
    """The spec that the entries are fitted into; an empty one where the folder is not there yet."""
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415
    from reconciler.spec.load import load  # noqa: PLC0415

    if not folder.is_dir() or not any(folder.glob("*.y*ml")):
        return {}, load({})
    texts = read_spec_folder(folder)
    return texts, load(texts)


def _edits(
    folder: Path, source: str, texts: Mapping[str, str], fitted: "Fitted"
) -> tuple[dict[str, str], dict[str, str]]:
    """Files of the spec that change, and the new one; SpecError where the whole would be no valid spec.

    New entries get a file of their own: nothing that a person wrote is touched, and a review shows one
    file. Only a new version of a model that the spec has goes where that model is.
    """
    from reconciler.core.types import ModelId  # noqa: PLC0415
    from reconciler.spec.edit import AppendVersion, edit  # noqa: PLC0415
    from reconciler.spec.load import load  # noqa: PLC0415
    from reconciler.spec.render import render  # noqa: PLC0415

    versions = [AppendVersion(ModelId(version.model), version.fields) for version in fitted.versions]
    edited = edit(texts, versions) if versions else {}
    document = fitted.document()
    if not document:
        return edited, {}
    names = (f"imported-{source}{end}.yaml" for end in ("", *(f"-{number}" for number in range(2, 1000))))
    path = next(str(folder / name) for name in names if not (folder / name).exists())
    new = {path: f"# Taken over by `modelctl import {source}`.\n{render(document)}"}
    load({**texts, **edited, **new})
    return edited, new


def _write(folder: Path, files: Mapping[str, str]) -> list[str]:
    from reconciler.host.files import atomic_write  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        atomic_write(Path(path), text)
    return sorted(files)


def _say(
    context: Context,
    fitted: "Fitted",
    refused: Sequence[tuple[str, str]],
    text: str,
    written: Sequence[str],
) -> None:
    output = context.output
    left_out = [(one.subject, one.text) for one in fitted.left_out] + list(refused)
    for remark in fitted.remarks:
        output.note(f"note: {remark}")
    for subject, why in left_out:
        output.note(f"left out: {subject}: {why}")
    for version in fitted.versions:
        what = f"version {version.fields['version_id']} of `{version.model}`"
        output.note(f"{'added' if written else 'with --write this adds'} {what}")
    for path in written:
        output.note(f"wrote {path}; `modelctl pull` brings the files into the store")
    document: dict[str, Any] = {
        "models": [],
        "personas": [],
        **fitted.document(),
        "versions": [{"model": one.model, **one.fields} for one in fitted.versions],
        "notes": [{"subject": one.subject, "text": one.text} for one in fitted.remarks],
        "left_out": [{"subject": subject, "text": why} for subject, why in left_out],
        "written": list(written),
    }
    output.document(document, lambda: "" if written else text.rstrip("\n"))


def _with_header(model: "FoundModel") -> "FoundModel":
    """What llama-server takes from the GGUF where its command line is silent: the context of its training."""
    from dataclasses import replace  # noqa: PLC0415

    from reconciler.gguf.reader import Part, read_header  # noqa: PLC0415
    from reconciler.host.artifacts.sources import FileSource, parse_source  # noqa: PLC0415
    from reconciler.host.gguf_file import open_local  # noqa: PLC0415

    if model.context_tokens is not None or not model.gguf_url.startswith("file://"):
        return model
    source = parse_source(model.gguf_url)
    try:
        if not isinstance(source, FileSource):
            return model
        with open_local(source.path) as file:
            header = read_header(Part(file, model.name))
    except ModelctlError:
        return model
    trained = header.metadata.get(f"{header.architecture}.context_length")
    if not isinstance(trained, int) or trained < model.parallel:
        return model
    return replace(model, context_tokens=trained // model.parallel)


def _known_flags(context: Context) -> "Mapping[str, EngineFlag]":
    """The flags of the engine that will serve; none where there is none, since importing needs no engine."""
    from reconciler.reconcile import session  # noqa: PLC0415

    try:
        return session.open_any_folder(Path(context.spec)).engine.flags
    except ModelctlError as error:
        context.output.note(f"note: the flags are not checked: {error.what}")
        return {}


def _read(path: Path) -> str:
    from reconciler.core.limits import MAXIMUM_SPEC_FILE  # noqa: PLC0415

    with path.open("rb") as file:
        content = file.read(MAXIMUM_SPEC_FILE + 1)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", hint="name a text file") from error


def _tagged(name: str) -> str:
    from reconciler.core.ollama import parse_name  # noqa: PLC0415

    return str(parse_name(name))
