"""`llama-fit-params`, llama.cpp's own account of what a model takes, as a second opinion."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.errors import EngineError
from reconciler.core.types import Bytes
from reconciler.host.process import run

PROGRAM = "llama-fit-params"
_MIB = 1024**2
_SECONDS = 60.0
_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Opinion:
    """What llama.cpp reckons for one device, or for RAM (`Host`), to the MiB."""

    device: str
    model: Bytes
    context: Bytes
    compute: Bytes

    @property
    def total(self) -> Bytes:
        return Bytes(self.model + self.context + self.compute)


def find_fit_params(server: Sequence[str]) -> Path | None:
    """The program beside `server`, which is of the same build, else the one on PATH."""
    beside = Path(server[0]).resolve().parent / PROGRAM
    if beside.is_file() and os.access(beside, os.X_OK):
        return beside
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def ask_fit_params(
    program: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[Opinion, ...]:
    """Devices in order, RAM last; EngineError where it does not say."""
    # Repacking would count a part of the weights in RAM in a buffer that is not shown.
    argv = (str(program), "--fit-print", "on", "--no-repack", *arguments)
    own = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
    done = run(argv, timeout=_SECONDS, env={**own, **environment})
    rows = [line.split() for line in done.stdout.splitlines()]
    found = [
        Opinion(row[0], *(Bytes(int(figure) * _MIB) for figure in row[1:_COLUMNS]))
        for row in rows
        if len(row) >= _COLUMNS and all(figure.isdecimal() for figure in row[1:_COLUMNS])
    ]
    if done.returncode != 0 or not found:
        raise EngineError(
            f"{PROGRAM} gives no opinion: {done.complaint}", hint=f"run it by hand: {' '.join(argv)}"
        )
    return tuple(found)
