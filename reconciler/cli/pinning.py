"""Writing a pin into the spec or taking it away, which `pin` and `unpin` share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.context import Context

if TYPE_CHECKING:
    from reconciler.spec.edit import Edit


def write_pin(
    context: Context, model: str, pinned: str | None, edits: "Sequence[Edit]", *, message: str, commit: bool
) -> None:
    """Make the edits and say what became of them; `pinned` is the version that is pinned then.

    The caller holds the spec folder.
    """
    from reconciler.host import git  # noqa: PLC0415
    from reconciler.host.spec_files import read_spec_folder  # noqa: PLC0415
    from reconciler.reconcile.writing import write_edits  # noqa: PLC0415
    from reconciler.spec.edit import edit  # noqa: PLC0415

    folder = Path(context.spec)
    if commit and (affected := [Path(file) for file in edit(read_spec_folder(folder), edits)]):
        git.require_committable(folder, affected)
    files = write_edits(folder, edits)
    revision = git.commit(folder, files, message) if commit and files else None
    told = f"{model} is pinned to {pinned}" if pinned else f"{model} is not pinned"
    if files:
        told += f"; written to {', '.join(map(str, files))}"
        told += f" and committed as {revision[:12]}" if revision else ", not committed"
    document = {
        "model": model,
        "pinned": pinned,
        "files": [str(file) for file in files],
        "commit": revision,
    }
    context.output.document(document, lambda: told)
