"""The only place that words exceptions: what, where, why, and the command that mends it."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reconciler.core.errors import ExitCode, ModelctlError, SpecErrors


@dataclass(frozen=True, slots=True)
class Explanation:
    """A failure in words."""

    what: str
    where: str | None
    hint: str | None
    exit_code: int

    def lines(self) -> Iterator[str]:
        yield f"error: {self.where}: {self.what}" if self.where else f"error: {self.what}"
        if self.hint:
            yield f"  hint: {self.hint}"

    def document(self) -> dict[str, Any]:
        return {"what": self.what, "where": self.where, "hint": self.hint, "exit_code": self.exit_code}


_OS_HINTS = {
    errno.ENOSPC: "free some space: `modelctl gc` shows what can go",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "run as the user who owns the store, or set MODELCTL_STORE to a folder of yours",
    errno.EPERM: "run as the user who owns the store, or set MODELCTL_STORE to a folder of yours",
    errno.EROFS: "the file system is read-only; set MODELCTL_STORE to a folder that can be written",
    errno.EMFILE: "raise the limit on open files: `ulimit -n 4096`",
}


def explain(error: BaseException) -> list[Explanation]:
    """Every exception that may reach the top, as one or more faults in words."""
    if isinstance(error, SpecErrors):
        return [explanation for fault in error.faults for explanation in explain(fault)]
    if isinstance(error, ModelctlError):
        where = str(error.where) if error.where else None
        return [Explanation(error.what, where, error.hint, int(error.exit_code))]
    if isinstance(error, OSError):
        subject = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or str(error)
        hint = _OS_HINTS.get(error.errno or 0)
        return [Explanation(f"{subject}{reason}", None, hint, int(ExitCode.FAILED))]
    return [
        Explanation(
            f"internal error: {type(error).__name__}: {error}",
            None,
            "this is a defect of modelctl; run again with --debug and report what it prints",
            int(ExitCode.FAILED),
        )
    ]
