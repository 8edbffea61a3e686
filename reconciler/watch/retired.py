"""Keeps an eye on runtimes that nothing wants any more, so that one that is still used is not idle."""

import time
from collections.abc import Iterable
from dataclasses import replace

from reconciler.core.endpoint import parse_endpoint
from reconciler.core.inventory import OwnedUnit
from reconciler.core.types import UnitName
from reconciler.host.slots import SlotUse, slots
from reconciler.host.state import State


class RetiredWatch:
    """Asks each of them at every look; without any, it costs nothing. Not for several threads at once.

    Behind the gateway nobody needs to look: it counts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen: dict[UnitName, SlotUse] = {}

    def look(self, units: Iterable[OwnedUnit]) -> None:
        """A request since the last look makes the five minutes of a runtime begin anew."""
        retired = [unit for unit in units if unit.retired_at is not None and unit.endpoint]
        now = {unit.name: use for unit in retired if (use := slots(parse_endpoint(unit.endpoint)))}
        for unit in retired:
            use, before = now.get(unit.name), self._seen.get(unit.name)
            if use is not None and (use.requests or (before is not None and before.tasks != use.tasks)):
                self._state.put_unit(replace(unit, retired_at=time.time()))
        self._seen = now
