"""What the guard (`reconciler.host.guard`) beside a supervisor has to do, and how it is started."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.core.units import SupervisorKind
from reconciler.host.files import atomic_write


@dataclass(frozen=True, slots=True)
class Duties:
    """What this supervisor does not do by itself."""

    kind: SupervisorKind
    memory: bool
    logs: bool
    crashes: bool

    @property
    def any(self) -> bool:
        return self.memory or self.logs or self.crashes


def write_duties(state_directory: Path, duties: Duties) -> Path:
    """Write the guard's file into the state folder, if it says something new."""
    path = state_directory / "guard.json"
    text = json.dumps(asdict(duties), indent=2) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        state_directory.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text, 0o600)
    return path


def read_duties(path: Path) -> Duties:
    document = json.loads(path.read_text(encoding="utf-8"))
    return Duties(
        kind=SupervisorKind(document["kind"]),
        memory=bool(document["memory"]),
        logs=bool(document["logs"]),
        crashes=bool(document["crashes"]),
    )


def guard_argv(duties: Path) -> tuple[str, ...]:
    """The guard's command; its working directory must be the folder that holds the package `reconciler`."""
    return (sys.executable, "-m", "reconciler.host.guard", str(duties))
