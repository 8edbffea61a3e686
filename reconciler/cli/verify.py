"""`modelctl verify`: hash the store again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.selection import select
from reconciler.cli.transfers import transfers
from reconciler.core.errors import ExitCode
from reconciler.core.sizes import format_bytes

if TYPE_CHECKING:
    from reconciler.kinds.artifact.verify import Finding


@declare("verify", short_help="Hash the store again and name what is corrupt.")
@click.argument("names", metavar="[MODEL[@VERSION]]...", nargs=-1)
def command(context: Context, *, names: Sequence[str]) -> ExitCode:
    """Hash what the store holds: everything, or the given versions.

    Nothing is removed. A file that is not what its hash says is no longer trusted, so that the next pull or
    apply replaces it.
    """
    from reconciler.host.artifacts.store import Store  # noqa: PLC0415
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415
    from reconciler.kinds.artifact.layout import wanted_version  # noqa: PLC0415
    from reconciler.kinds.artifact.verify import targets, verify  # noqa: PLC0415
    from reconciler.reconcile.site import open_site  # noqa: PLC0415
    from reconciler.spec.load import load  # noqa: PLC0415

    folder = Path(context.spec)
    spec = load(read_spec_folder(folder))
    every = [wanted_version(model, version) for model in spec.models for version in model.versions]
    wanted = select(spec, names) if names else every
    store = Store(Path(open_site(spec.settings, folder).places.store))
    files = targets(store, wanted, named=bool(names), others=not names)
    total = sum(file.size for file in files)
    with transfers(context.output) as begin:
        shown, done = begin("verifying"), 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            shown.progress(min(done, total), total)

        findings = list(verify(store, files, progress))
    faults = [finding for finding in findings if finding.fault]
    document = {
        "files": len(findings),
        "size_bytes": total,
        "faults": [_fault(finding) for finding in faults],
    }
    context.output.document(document, lambda: _render(findings, total))
    for finding in faults:
        context.output.note(f"error: {finding.target.path}: {finding.fault}")
        context.output.note(f"  hint: {_hint(finding)}")
    return ExitCode.FAILED if faults else ExitCode.OK


def _fault(finding: "Finding") -> dict[str, Any]:
    target = finding.target
    return {
        "path": str(target.path),
        "sha256": target.sha256,
        "model": target.version.model if target.version else None,
        "version": target.version.version if target.version else None,
        "reason": finding.fault,
        "hint": _hint(finding),
    }


def _hint(finding: "Finding") -> str:
    if finding.target.version is None:
        return f"no version of the spec wants it: rm {finding.target.path}"
    return f"modelctl pull {finding.target.version}"


def _render(findings: "Sequence[Finding]", total: int) -> str:
    if not findings:
        return "nothing of that is in the store"
    good = sum(finding.fault is None for finding in findings)
    return f"{good} of {len(findings)} files are what they should be ({format_bytes(total)} hashed)"
