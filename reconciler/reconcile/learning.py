"""What engines reported when they loaded is kept, and corrects what is placed anew.

One note per runtime in the state database. It counts for the same files and the same build of the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.errors import ModelctlError
from reconciler.core.operations import Verb
from reconciler.core.types import Bytes, UnitName
from reconciler.host.overrides_cache import read_placement
from reconciler.host.records import Records
from reconciler.host.state import State
from reconciler.kinds.placement.document import file_name, parse
from reconciler.kinds.placement.report import Measured, read_report
from reconciler.kinds.placement.types import Ground, Record, Wish
from reconciler.kinds.unit.types import UnitChange
from reconciler.reconcile.executor import Listener, Outcome, Result
from reconciler.reconcile.site import Site

WORTH_SAYING = 0.05
_LOG_LINES = 2000


@dataclass(frozen=True, slots=True)
class Learned:
    """What one runtime's engine reported, and for which files and build."""

    artifacts: Mapping[str, str]
    engine: str
    devices: tuple[Measured, ...]

    def holds_for(self, wish: Wish, ground: Ground) -> bool:
        return self.artifacts == dict(wish.artifacts) and self.engine == ground.engine

    def beside(self, record: Record) -> tuple[Measured, ...]:
        """The report beside what a kept placement reckons now, which may have been corrected since."""
        if (record.key["artifacts"], record.key["engine"]) != (self.artifacts, self.engine):
            return self.devices
        reckoned = {part.id: part.total for part in record.devices}
        return tuple(replace(one, predicted=reckoned.get(one.device, one.predicted)) for one in self.devices)

    @property
    def excess(self) -> Bytes:
        """By how much the worst prediction of a device was too low."""
        return Bytes(max((max(0, one.reported - one.predicted) for one in self.devices), default=0))


class Learner(Listener):
    """Reads the log of each runtime that became ready."""

    def __init__(self, site: Site, state: State) -> None:
        self._site = site
        self._records = Records(state)

    def ended(self, result: Result) -> None:
        operation = result.operation
        if (operation.kind, operation.verb) != ("unit", Verb.CHECK) or result.outcome is not Outcome.DONE:
            return
        change: UnitChange = operation.payload
        unit = change.unit.placed_as
        record = parse(read_placement(self._site.overrides_cache / file_name(unit)) or "")
        # Without devices there is nothing to learn: RAM is mapped, and what it takes is the file's size.
        if record is None or not record.devices:
            return
        try:
            lines = list(self._site.supervisor.log(change.unit.name, lines=_LOG_LINES, follow=False))
        except (ModelctlError, OSError):
            return  # the runtime answers; that its log cannot be read costs a comparison, no more
        found = read_report(lines, record, _visible(record))
        if found:
            self._records.put_note(_key(unit), _document(record, found))


def learned(state: State, unit: UnitName) -> Learned | None:
    """What is kept of a runtime; None where its engine never told."""
    note = Records(state).note(_key(unit))
    if not note:
        return None
    devices = tuple(
        Measured(one["device"], Bytes(one["predicted"]), Bytes(one["reported"])) for one in note["devices"]
    )
    return Learned(note["artifacts"], note["engine"], devices)


def _visible(record: Record) -> tuple[str, ...]:
    return tuple(part.id for part in record.devices if part.id.startswith(("GPU-", "MIG-")))


def _key(unit: UnitName) -> str:
    return f"measured {unit}"


def _document(record: Record, found: tuple[Measured, ...]) -> dict[str, Any]:
    return {
        "artifacts": record.key["artifacts"],
        "engine": record.key["engine"],
        "devices": [
            {"device": one.device, "predicted": one.predicted, "reported": one.reported} for one in found
        ],
    }
