"""Which units were given up as crash loops, where the supervisor has no such state of its own."""

from pathlib import Path

from reconciler.core.types import UnitName


class GivenUp:
    """One empty file per unit; it lasts until someone starts the unit on purpose."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mark(self, name: UnitName) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).touch()

    def forgive(self, name: UnitName) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def holds(self, name: UnitName) -> bool:
        return (self._folder / name).exists()
