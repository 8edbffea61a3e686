"""`modelctl pull`: models into the store, and into the spec which bytes they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.locking import editing
from reconciler.cli.output import table
from reconciler.cli.selection import select
from reconciler.cli.transfers import Begin, transfers
from reconciler.core.errors import ExitCode, ModelctlError, UsageError
from reconciler.core.sizes import format_bytes

if TYPE_CHECKING:
    from reconciler.host.artifacts.fetch import Fetcher
    from reconciler.kinds.artifact.layout import WantedFile, WantedVersion
    from reconciler.reconcile.new_version import NewVersion
    from reconciler.spec.edit import Edit
    from reconciler.spec.model import Spec


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one version."""

    before: "WantedVersion"
    after: "WantedVersion"
    status: str
    """in place, pulled or failed"""
    size: int | None
    error: Exception | None = None
    learned: "tuple[Edit, ...]" = ()


@declare("pull", short_help="Download models and verify them.")
@click.argument("names", metavar="[MODEL[@VERSION]]...", nargs=-1)
@click.option("--quant", metavar="Q", help="Add a version: the file of this quantisation, such as Q4_K_M.")
@click.option("--into", metavar="MODEL", help="With --quant: the model that gets the version.")
@click.option(
    "--version", metavar="ID", help="With --quant: what the version is called; default: by its day."
)
def command(
    context: Context, *, names: Sequence[str], quant: str | None, into: str | None, version: str | None
) -> ExitCode:
    """Download and verify what the spec names: every model's current version, or the given ones.

    A revision or sha256 that the spec does not have yet is found out and written into it; commit that. A
    broken download goes on where it stopped.

    With --quant, the hub's repository of one MODEL, or one ORG/REPO, is searched for a file, and what was
    downloaded becomes a further version of that model in the spec; `modelctl promote` serves it.
    """
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415
    from reconciler.reconcile.carry_out import fetcher  # noqa: PLC0415
    from reconciler.reconcile.site import open_site  # noqa: PLC0415
    from reconciler.reconcile.writing import write_edits  # noqa: PLC0415
    from reconciler.spec.load import load  # noqa: PLC0415

    folder = Path(context.spec)
    spec = load(read_spec_folder(folder))
    by = fetcher(open_site(spec.settings, folder))
    new = None
    if quant is not None:
        new = _new_version(spec, by, names, quant=quant, into=into, version=version)
    elif into is not None or version is not None:
        raise UsageError(
            "--into and --version go with --quant", hint="modelctl pull ORG/REPO --quant Q4_K_M --into MODEL"
        )
    wanted = select(spec, names) if new is None else [new.wanted]
    outcomes: list[_Outcome] = []
    written: dict[str, None] = {}
    with transfers(context.output) as begin:
        for one in wanted:
            outcome = _pull(by, one, begin)
            if new is not None and outcome.error is None:
                outcome = replace(outcome, learned=(new.edit, *outcome.learned))
            try:
                with editing(folder):
                    written |= dict.fromkeys(map(str, write_edits(folder, outcome.learned)))
            except (ModelctlError, OSError) as error:
                outcome = replace(outcome, status="failed", error=error)
            outcomes.append(outcome)
    context.output.document(_document(outcomes, list(written)), lambda: _render(outcomes))
    _explain(context, outcomes, list(written))
    failed = any(outcome.error is not None for outcome in outcomes)
    return ExitCode.FAILED if failed else ExitCode.OK


def _new_version(
    spec: "Spec",
    by: "Fetcher",
    names: Sequence[str],
    *,
    quant: str,
    into: str | None,
    version: str | None,
) -> "NewVersion":
    from datetime import UTC, datetime  # noqa: PLC0415

    from reconciler.reconcile.new_version import find_version  # noqa: PLC0415

    if len(names) != 1:
        raise UsageError("--quant takes one MODEL or one ORG/REPO", hint="modelctl pull MODEL --quant Q4_K_M")
    return find_version(
        spec, by.network, names[0], quant=quant, into=into, version=version, now=datetime.now(UTC)
    )


def _pull(by: "Fetcher", version: "WantedVersion", begin: Begin) -> _Outcome:
    from reconciler.kinds.artifact.observe import stored_bytes  # noqa: PLC0415
    from reconciler.kinds.artifact.pull import Watching, edits, pull  # noqa: PLC0415

    moved: list[str] = []

    def watch(file: "WantedFile") -> Watching:
        moved.append(file.name)
        shown = begin(f"{version}/{file.name}")
        return Watching(shown.progress, shown.wait)

    try:
        after = pull(by, version, watch)
    except (ModelctlError, OSError) as error:
        return _Outcome(version, version, "failed", None, error)
    size = stored_bytes(by.store, [after]).get(after.model)
    return _Outcome(version, after, "pulled" if moved else "in place", size, learned=edits(version, after))


def _document(outcomes: Sequence[_Outcome], written: Sequence[str]) -> dict[str, Any]:
    from reconciler.cli.errors import explain  # noqa: PLC0415

    return {
        "versions": [
            {
                "model": outcome.after.model,
                "version": outcome.after.version,
                "status": outcome.status,
                "size_bytes": outcome.size,
                "files": [
                    {"name": file.name, "url": file.url, "revision": file.revision, "sha256": file.sha256}
                    for file in outcome.after.files
                ],
                "errors": [e.document() for e in explain(outcome.error)] if outcome.error else [],
            }
            for outcome in outcomes
        ],
        "spec_files_changed": list(written),
    }


def _render(outcomes: Sequence[_Outcome]) -> str:
    if not outcomes:
        return "the spec has no models"
    rows = [
        (
            outcome.after.model,
            outcome.after.version,
            "-" if outcome.size is None else format_bytes(outcome.size),
            outcome.status,
        )
        for outcome in outcomes
    ]
    return table(("MODEL", "VERSION", "SIZE", "STATUS"), rows)


def _explain(context: Context, outcomes: Sequence[_Outcome], written: Sequence[str]) -> None:
    from reconciler.cli.errors import explain  # noqa: PLC0415

    for outcome in outcomes:
        before = {file.name: file for file in outcome.before.files}
        for file in outcome.after.files:
            if before[file.name].sha256 is None and file.sha256 and not file.url.startswith("hf://"):
                context.output.note(
                    f"{file.url}: the spec had no sha256, so what arrived was taken: {file.sha256}"
                )
        for explanation in explain(outcome.error) if outcome.error else ():
            for line in explanation.lines():
                context.output.note(line)
    if written:
        context.output.note(f"wrote what was found out into {', '.join(written)}; commit that")
