"""The files of a folder as a commit has them, all of their bytes from one Git process."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.errors import Location, ModelctlError, SpecError
from reconciler.core.limits import MAXIMUM_SPEC_FILE
from reconciler.host.process import run

_TIMEOUT_SECONDS = 30.0
_SUFFIXES = (".yaml", ".yml")
_PLAIN = {"100644", "100755"}
"""Modes of ordinary files; 120000 is a symbolic link, 160000 a submodule (git-fast-import(1))."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of `git ls-tree --long`."""

    mode: str
    blob: str
    size: int
    name: str


def yaml_files(folder: Path, commit: str) -> dict[str, str]:
    """Name → text of the files that `read_spec_folder` would read, were `commit` checked out.

    Raises SpecError for what it would refuse as well: a link, a file that is too large or not UTF-8.
    """
    entries = sorted(_entries(folder, commit), key=lambda entry: entry.name)
    for entry in entries:
        _require_plain(entry, _where(folder, commit, entry))
    return {
        entry.name: _decoded(content, _where(folder, commit, entry))
        for entry, content in zip(entries, _contents(folder, [e.blob for e in entries]), strict=True)
    }


def _entries(folder: Path, commit: str) -> Iterator[_Entry]:
    listing = run(
        ("git", "-C", str(folder), "ls-tree", "-z", "--long", commit, "./"), timeout=_TIMEOUT_SECONDS
    )
    for line in filter(None, listing.stdout.split("\0")):
        attributes, _, name = line.partition("\t")
        mode, kind, blob, size = attributes.split()
        if kind != "tree" and name.endswith(_SUFFIXES) and not name.startswith("."):
            yield _Entry(mode, blob, int(size) if size.isdecimal() else 0, name)


def _where(folder: Path, commit: str, entry: _Entry) -> str:
    return f"{folder / entry.name}@{commit[:12]}"


def _require_plain(entry: _Entry, where: str) -> None:
    if entry.mode not in _PLAIN:
        raise SpecError(
            "this is no plain file in that commit", where=Location(where), hint="commit the file itself"
        )
    if entry.size > MAXIMUM_SPEC_FILE:
        raise SpecError(
            f"the file is larger than {MAXIMUM_SPEC_FILE // 1024**2} MiB",
            where=Location(where),
            hint="spread its models over several files of the folder",
        )


def _contents(folder: Path, blobs: Sequence[str]) -> Iterator[bytes]:
    """What `git cat-file --batch` answers: a header line, so many bytes, an end of line, and so on."""
    if not blobs:
        return
    try:
        done = subprocess.run(
            ("git", "-C", str(folder), "cat-file", "--batch"),
            input="".join(f"{blob}\n" for blob in blobs).encode(),
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ModelctlError(f"git cannot read the files of {folder}: {error}", hint="git fsck") from error
    at = 0
    for blob in blobs:
        end = done.stdout.find(b"\n", at)
        header = done.stdout[at:end].split()
        if header[1:2] != [b"blob"]:
            raise ModelctlError(f"git has no object {blob} in {folder}", hint=f"git -C {folder} fsck")
        start, size = end + 1, int(header[2])
        yield done.stdout[start : start + size]
        at = start + size + 1


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            "the file is not UTF-8 from here on", where=Location(where, line), hint="save it as UTF-8"
        ) from error
