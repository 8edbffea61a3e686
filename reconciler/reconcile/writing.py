"""Edits of the spec, written into its files."""

from collections.abc import Sequence
from pathlib import Path

from reconciler.host.rewrite import rewrite
from reconciler.host.spec_files import read_spec_folder
from reconciler.spec.edit import Edit, edit


def write_edits(folder: Path, edits: Sequence[Edit]) -> tuple[Path, ...]:
    """Edit the spec folder as it is now, which may have been saved since it was read; the changed files.

    The caller holds the folder against other edits. SpecError where the result would be no valid spec;
    nothing is written then.
    """
    if not edits:
        return ()
    changed = edit(read_spec_folder(folder), edits)
    for file, text in changed.items():
        rewrite(Path(file), text)
    return tuple(Path(file) for file in changed)
