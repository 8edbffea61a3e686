"""`modelctl gpu`: the GPUs, what keeps them from us, and the profile that follows; `lock` and `unlock`."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import Format
from reconciler.core.errors import ModelctlError, Refused, SpecError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.gpu import Gpu, LockoutText
    from reconciler.core.types import ProfileName
    from reconciler.gpu.lockouts import Lockout
    from reconciler.reconcile.gpu_watch import GpuView, GpuWatch
    from reconciler.reconcile.site import Site
    from reconciler.spec.model import Spec

_INTERVAL_SECONDS = 10.0


@declare("gpu")
@click.option("--watch", is_flag=True, help="Look again and again, and say what changes.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=86400),
    default=_INTERVAL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks of --watch.",
)
def _show(context: Context, *, watch: bool, interval: float) -> None:
    from reconciler.cli.gpu_text import changes, render  # noqa: PLC0415
    from reconciler.reconcile.gpu_document import view_document  # noqa: PLC0415
    from reconciler.reconcile.gpu_watch import open_watch  # noqa: PLC0415

    if math.isnan(interval):  # no range excludes it
        raise UsageError("--interval takes a number of seconds", hint="write --interval 10")
    site, spec, fault = _open(Path(context.spec))
    if fault is not None:
        context.output.note(f"the spec cannot be read, so there are no profiles: {fault.what}")
    profiles = _profiles(spec)
    looking = open_watch(site, profiles)
    before = view, active = _look(looking, site, profiles)
    if not watch:
        context.output.document(view_document(view, active), lambda: render(*before))
        return
    context.output.event(view_document(view, active), render(*before))
    while True:
        time.sleep(interval)
        after = view, active = _look(looking, site, profiles)
        if context.output.format is Format.JSON:
            context.output.event(view_document(view, active), None)
        else:
            for line in changes(*before, *after):
                context.output.raw(f"{view.at:%H:%M:%S} {line}")
        before = after


def _look(
    looking: "GpuWatch", site: "Site", profiles: "dict[ProfileName, tuple[str, ...]]"
) -> "tuple[GpuView, ProfileName | None]":
    """One look, and the profile that holds: the watcher's word where one runs, since it has seen more."""
    from reconciler.reconcile.gpu_watch import held_profile, own_use  # noqa: PLC0415

    with site.state() as state:
        view = looking.look(own_use(site, state))
    return view, held_profile(site, profiles, view)


def _or_subcommand(**values: Any) -> Any:
    if click.get_current_context().invoked_subcommand is None and _show.callback is not None:
        return _show.callback(**values)
    return None


command = click.Group(
    "gpu",
    callback=_or_subcommand,
    params=_show.params,
    invoke_without_command=True,
    short_help="Show GPUs and profiles; lock and unlock GPUs.",
    help="Show the GPUs, what keeps them from our models, and which profile that makes active.",
)


@declare("lock", short_help="Keep GPUs from our models.")
@click.argument("gpu", nargs=-1, required=True)
@click.option("--reason", default="locked by hand", show_default=True, help="Shown to whoever asks why.")
@click.option(
    "--until", metavar="TIME", help="HH:MM, ISO 8601 or 2h; without it, until `modelctl gpu unlock`."
)
def _lock(context: Context, *, gpu: tuple[str, ...], reason: str, until: str | None) -> None:
    """Keep each GPU (its number, UUID or part of its name) from our models.

    The profile changes at the next look of `modelctl watch`, or with the next `modelctl apply`. Requests that
    are being answered are finished.
    """
    from reconciler.cli.until import moment_of  # noqa: PLC0415
    from reconciler.gpu.lockouts import Lockout, read, without  # noqa: PLC0415
    from reconciler.host.local_time import LOCAL, local_now  # noqa: PLC0415
    from reconciler.host.lockout import edit_lockouts, own_path  # noqa: PLC0415

    if not reason.strip() or not reason.isprintable():
        raise UsageError("--reason takes one line of words", hint="say why, for whoever reads `modelctl gpu`")
    now = local_now()
    end = None if until is None else moment_of(until, now)
    found = _find(gpu)
    entry = Lockout(tuple(one.uuid for one in found), reason, end)
    kept: list[Lockout] = []

    def change(text: "LockoutText") -> list[dict[str, Any]]:
        before = read(text)
        for problem in before.problems:
            context.output.note(f"{problem}; it is written anew")
        kept.extend(without(before.entries, found, now))
        return [one.document() for one in (*kept, entry)]

    path = own_path(_state_folder(context))
    edit_lockouts(path, change)
    ends = "until `modelctl gpu unlock`" if end is None else f"until {end.astimezone(LOCAL):%Y-%m-%d %H:%M}"
    context.output.document(
        {"lockouts": [one.document() for one in (*kept, entry)]},
        lambda: "\n".join(f"locked GPU {one.index} ({one.name}) {ends}" for one in found),
    )


@declare("unlock", short_help="Give GPUs back to our models.")
@click.argument("gpu", nargs=-1)
def _unlock(context: Context, *, gpu: tuple[str, ...]) -> None:
    """Take back the lockouts of the named GPUs, or all that `modelctl gpu lock` made."""
    from reconciler.gpu.lockouts import read, without  # noqa: PLC0415
    from reconciler.host.local_time import local_now  # noqa: PLC0415
    from reconciler.host.lockout import edit_lockouts, own_path  # noqa: PLC0415

    now = local_now()
    found = _find(gpu) if gpu else []
    before: list[Lockout] = []
    kept: list[Lockout] = []

    def change(text: "LockoutText") -> list[dict[str, Any]]:
        before.extend(entry for entry in read(text).entries if entry.holds_at(now))
        kept.extend(without(before, found, now) if found else ())
        return [one.document() for one in kept]

    state = _state_folder(context)
    edit_lockouts(own_path(state), change)
    ended = sum(len(entry.gpus) for entry in before) - sum(len(entry.gpus) for entry in kept)
    context.output.document(
        {"lockouts": [one.document() for one in kept]},
        lambda: f"{ended} lockout{'' if ended == 1 else 's'} taken back",
    )
    others = _kept_by_others(found, state, now)
    if others and found:
        raise Refused(others[0], hint="end the program that wrote it, or remove the file")
    for sentence in others:
        context.output.note(sentence)


command.add_command(_lock)
command.add_command(_unlock)


def _open(folder: Path) -> "tuple[Site, Spec | None, ModelctlError | None]":
    """GPUs can be looked at without a spec: then the store is where it is by default."""
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415
    from reconciler.reconcile.site import open_site  # noqa: PLC0415
    from reconciler.spec.load import load  # noqa: PLC0415
    from reconciler.spec.settings import Settings  # noqa: PLC0415

    try:
        spec = load(read_spec_folder(folder))
    except SpecError as error:
        return open_site(Settings(), folder), None, error
    return open_site(spec.settings, folder), spec, None


def _state_folder(context: Context) -> Path:
    """Where lockouts are kept; SpecError when only a spec that cannot be read could say it."""
    import os  # noqa: PLC0415

    site, _, fault = _open(Path(context.spec))
    if fault is not None and not os.environ.get("MODELCTL_STORE"):
        raise fault
    return Path(site.places.state)


def _profiles(spec: "Spec | None") -> "dict[ProfileName, tuple[str, ...]]":
    from reconciler.core.types import ProfileName  # noqa: PLC0415

    return {} if spec is None else {ProfileName(name): one.cards for name, one in spec.profiles.items()}


def _find(names: tuple[str, ...]) -> "list[Gpu]":
    """The GPUs that a person named, each once."""
    from reconciler.gpu.lockouts import find  # noqa: PLC0415
    from reconciler.host.nvml import survey  # noqa: PLC0415

    seen = survey()
    if not seen.gpus and seen.conditions:
        condition = seen.conditions[0]
        raise ModelctlError(f"no GPU can be seen: {condition.message}", hint=condition.hint)
    found: dict[str, Gpu] = {}
    for name in names:
        fits = find(name, seen.gpus)
        if not fits:
            here = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in seen.gpus) or "none"
            raise UsageError(f"no GPU fits {name!r}", hint=f"here are: {here}")
        found.update({gpu.uuid: gpu for gpu in fits})
    return list(found.values())


def _kept_by_others(gpus: "list[Gpu]", state: Path, now: "datetime") -> list[str]:
    """What other programs keep of some GPUs, or of all where none is named, in sentences."""
    from reconciler.gpu.lockouts import find, read  # noqa: PLC0415
    from reconciler.host.lockout import lockout_paths, read_lockouts  # noqa: PLC0415

    _, *foreign = lockout_paths(state)
    sentences = []
    for found in map(read, read_lockouts(foreign)):
        for entry in found.entries:
            names = [name for name in entry.gpus if not gpus or find(name, gpus)]
            if names and entry.holds_at(now):
                sentences.append(
                    f"another program keeps GPU {', '.join(names)}: {entry.reason} ({found.path})"
                )
    return sentences
