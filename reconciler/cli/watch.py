"""`modelctl watch`: the reconciler as a service."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.core.errors import ExitCode, UsageError
from reconciler.core.sizes import parse_seconds

if TYPE_CHECKING:
    from reconciler.watch.remote import RemoteBranch

_WORKTREE_QUIET = 0.5


@declare("watch", short_help="Keep the machine as the spec says, commit by commit.")
@click.option(
    "--follow",
    type=click.Choice(["commit", "worktree"]),
    default="commit",
    show_default=True,
    help="Follow commits of the checked-out branch, or files as they are saved.",
)
@click.option("--remote", metavar="REMOTE/BRANCH", help="Fetch this branch, and fast-forward to it.")
@click.option("--every", metavar="TIME", default="60s", show_default=True, help="How often --remote fetches.")
@click.option("--prune", is_flag=True, help="Also remove what is ours and no longer in the spec.")
@click.option("--once", is_flag=True, help="One look and one pass, then end: for cron and tests.")
@click.option("--install", is_flag=True, help="Run it as a unit of the supervisor, now and after each boot.")
@click.option("--uninstall", is_flag=True, help="Stop and remove that unit; models go on.")
@click.option("--system", is_flag=True, help="With --install: as a unit of the system, not of the user.")
def command(
    context: Context,
    *,
    follow: str,
    remote: str | None,
    every: str,
    prune: bool,
    once: bool,
    install: bool,
    uninstall: bool,
    system: bool,
) -> ExitCode:
    """Keep the machine as the spec says: follow commits, mend what breaks, and never stop what serves.

    Exit code 3 when a watcher runs here already. See docs/watching.md.
    """
    if install and uninstall:
        raise UsageError("--install and --uninstall exclude each other")
    if system and not install and not uninstall:
        raise UsageError("--system goes with --install", hint="modelctl watch --install --system")
    branch = _remote(remote, every, follow)
    folder = Path(context.spec).absolute()
    if install or uninstall:
        arguments = ["--follow", follow, *(["--remote", remote, "--every", every] if remote else [])]
        return _unit(
            context, folder, [*arguments, *(["--prune"] if prune else [])], remove=uninstall, system=system
        )
    return _watch(context, folder, follow, branch, prune=prune, once=once)


def _remote(remote: str | None, every: str, follow: str) -> "RemoteBranch | None":
    if remote is None:
        return None
    from reconciler.watch.remote import RemoteBranch  # noqa: PLC0415

    name, _, branch = remote.partition("/")
    if not name or not branch or remote.startswith("-"):
        raise UsageError(f"--remote {remote!r} names no branch", hint="write it as origin/main")
    if follow == "worktree":
        raise UsageError("--remote follows commits, and --follow worktree saved files: choose one")
    try:
        return RemoteBranch(name, branch, max(1.0, parse_seconds(every)))
    except ValueError as error:
        raise UsageError(f"--every {error}") from error


def _watch(
    context: Context,
    folder: Path,
    follow: str,
    branch: "RemoteBranch | None",
    *,
    prune: bool,
    once: bool,
) -> ExitCode:
    from reconciler.cli.progress import Narrator  # noqa: PLC0415
    from reconciler.host.git_watch import find_repository  # noqa: PLC0415
    from reconciler.host.lock import watch_lock  # noqa: PLC0415
    from reconciler.host.records import Records  # noqa: PLC0415
    from reconciler.watch.decide import Pace  # noqa: PLC0415
    from reconciler.watch.follow import CommitFollower, WorktreeFollower  # noqa: PLC0415
    from reconciler.watch.loop import Options, Watcher  # noqa: PLC0415
    from reconciler.watch.remote import RemoteFollower  # noqa: PLC0415
    from reconciler.watch.source import CurrentSource, site_of  # noqa: PLC0415

    follower = CommitFollower(folder) if follow == "commit" else WorktreeFollower(folder)
    remote = None
    if branch is not None:
        repository = find_repository(folder)
        if repository is None:
            raise UsageError(f"{folder} is not in a Git work tree", hint="git clone it first")
        remote = RemoteFollower(repository, branch)
    pace = Pace(quiet=_WORKTREE_QUIET if follow == "worktree" else 0.0)
    options = Options(folder, follow, prune, pace, remote)
    site = site_of(follower, folder)
    output = context.output
    with watch_lock(Path(site.places.state) / "watch.lock"), site.state(create=True) as state:
        current = CurrentSource(follower, Records(state), site, pace.quiet)
        watcher = Watcher(options, current, state, [Narrator(output)], output.note)
        if once:
            done = watcher.once()
            if done is not None and done.failures:
                return ExitCode.UNHEALTHY
            return (
                ExitCode.OK if watcher.blocked is None and (done is None or done.clean) else ExitCode.REFUSED
            )
        with _stopped_by_signals() as stop:
            watcher.run(stop)
    return ExitCode.OK


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C end the round that is under way; an apply is finished first."""
    stop = threading.Event()

    def end(number: int, _frame: object) -> None:
        if stop.is_set():  # asked twice: at once; what was begun is taken up by the next watcher
            os._exit(128 + number)
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _unit(context: Context, folder: Path, arguments: list[str], *, remove: bool, system: bool) -> ExitCode:
    from reconciler.reconcile import session  # noqa: PLC0415
    from reconciler.watch.install import install, uninstall  # noqa: PLC0415

    if remove:  # also while the spec does not load
        told = uninstall(session.open_folder(folder), system=system)
    else:
        site = session.open_source(session.read_source(folder))
        told = install(site, folder, arguments, system=system)
    context.output.document({"unit": told.name, "file": told.path, "done": told.done}, lambda: told.done)
    return ExitCode.OK
