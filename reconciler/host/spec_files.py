"""The files of a spec folder, read as they are on disk."""

import os
import stat
from pathlib import Path

from reconciler.core.errors import Location, SpecError
from reconciler.core.limits import MAXIMUM_SPEC_FILE

_SUFFIXES = (".yaml", ".yml")


def read_spec_folder(folder: str | Path) -> dict[str, str]:
    """Path of each `*.yaml` and `*.yml` in the folder (as `folder/name`) → its text, sorted by name.

    Folders below and hidden files, such as an editor's locks, are left out. Line ends are kept as they are.
    Raises SpecError for a folder that is not there or holds no such file, and for a file that is a symbolic
    link (a commit would not hold what it points to), no plain file, too large or not UTF-8.
    """
    folder = Path(folder)
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.endswith(_SUFFIXES)
                and not entry.name.startswith(".")
                and not entry.is_dir(follow_symlinks=False)
            )
    except OSError as error:
        raise _no_folder(folder, error) from error
    if not names:
        raise SpecError(f"the spec folder `{folder}` holds no *.yaml file", hint=_how_to_begin(folder))
    return {str(folder / name): _read(folder / name) for name in names}


def _read(path: Path) -> str:
    where = Location(str(path))
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SpecError(
                    "this is no plain file", where=where, hint="rename it, or move it out of the folder"
                )
            content = file.read(MAXIMUM_SPEC_FILE + 1)
    except OSError as error:
        if path.is_symlink():
            hint = "put the file itself into the folder: a commit does not hold what a link points to"
            raise SpecError("the file is a symbolic link", where=where, hint=hint) from error
        raise SpecError(f"cannot be read: {error.strerror}", where=where) from error
    if len(content) > MAXIMUM_SPEC_FILE:
        raise SpecError(
            f"the file is larger than {MAXIMUM_SPEC_FILE // 1024**2} MiB",
            where=where,
            hint="spread its models over several files of the folder",
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        good = content[: error.start]
        column = len(good[good.rfind(b"\n") + 1 :].decode()) + 1
        raise SpecError(
            "the file is not UTF-8 from here on",
            where=Location(str(path), good.count(b"\n") + 1, column),
            hint="save it as UTF-8",
        ) from error


def _no_folder(folder: Path, error: OSError) -> SpecError:
    if isinstance(error, FileNotFoundError):
        return SpecError(f"there is no spec folder `{folder}`", hint=_how_to_begin(folder))
    if isinstance(error, NotADirectoryError):
        return SpecError(f"`{folder}` is a file; the spec is a folder", hint="name the folder that it is in")
    return SpecError(f"the spec folder `{folder}` cannot be read: {error.strerror}")


def _how_to_begin(folder: Path) -> str:
    return (
        f"`modelctl init {folder}` writes one for this machine; --spec or $MODELCTL_SPEC names another folder"
    )
