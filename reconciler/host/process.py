"""The one place that runs other programs to their end."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.errors import ModelctlError


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended; the texts are decoded as UTF-8 with replacement characters."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """What the program said of its failure, in one line."""
        said = (self.stderr.strip() or self.stdout.strip()).replace("\n", " · ")
        return said or f"{self.argv[0]} ended with exit status {self.returncode}"


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002 - the word that subprocess uses
) -> Completed:
    """Run `argv` without a shell and wait; a failing exit status is the caller's to judge.

    Raises ModelctlError when the program is missing, may not be run, or outlives `timeout` seconds (it is
    killed then).
    """
    try:
        done = subprocess.run(  # noqa: PLW1510 - the caller judges the exit status
            list(argv),
            timeout=timeout,
            env=None if env is None else dict(env),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as error:
        raise ModelctlError(
            f"{argv[0]} is not installed", hint=f"install {argv[0]} or put it on PATH"
        ) from error
    except OSError as error:
        raise ModelctlError(f"{argv[0]} could not be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ModelctlError(
            f"`{' '.join(argv[:3])} …` did not end within {timeout:g} s and was killed"
        ) from error
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)
