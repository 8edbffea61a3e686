"""What can go wrong, as types. The words that a person reads are put together in `reconciler.cli.errors`."""

from enum import IntEnum
from typing import ClassVar, NamedTuple


class ExitCode(IntEnum):
    """Exit codes of every command; part of the CLI contract."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNHEALTHY = 4


class Location(NamedTuple):
    """A place in a file; line and column count from 1, as editors do."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


class ModelctlError(Exception):
    """A failure that a person can understand and mend.

    `what` is one line and names the thing; `hint` is the command or edit that mends it.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, what: str, *, where: Location | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint


class UsageError(ModelctlError):
    """The command line asks for something that does not exist or does not make sense."""

    exit_code = ExitCode.USAGE


class SpecError(ModelctlError):
    """The spec cannot be read or contradicts itself. Nothing was changed."""


class SpecErrors(SpecError):  # noqa: N818 - the plural says what it holds
    """Several independent faults of one spec, so that one run shows them all."""

    def __init__(self, faults: tuple[SpecError, ...]) -> None:
        super().__init__(f"the spec has {len(faults)} errors")
        self.faults = faults


class Refused(ModelctlError):  # noqa: N818 - a guard's answer, not a malfunction
    """A guard said no: a lock, a prune limit, a stale plan. Nothing was changed."""

    exit_code = ExitCode.REFUSED


class SourceError(ModelctlError):
    """A source (hub, web server, file) did not deliver what the spec names."""


class IntegrityError(SourceError):
    """Bytes arrived whole but their hash or length is not the promised one."""


class StoreError(ModelctlError):
    """The store cannot take or give a file: no space, no permission, foreign content."""


class EngineError(ModelctlError):
    """llama.cpp is missing, cannot be asked, or does not know a flag."""


class SupervisorError(ModelctlError):
    """The supervisor is not there or refused an order."""


class UnhealthyError(ModelctlError):
    """A runtime was started but did not become ready."""

    exit_code = ExitCode.UNHEALTHY


class GivenUpError(ModelctlError):
    """A step ended because nobody wants it any more. What it has so far is kept, and a later one goes on."""


class FormatError(ModelctlError):
    """A file is not what its name or header promises (GGUF, plan file, state)."""
