"""Does what the plan lists for placements: write files of overrides-cache."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reconciler.core.errors import StoreError
from reconciler.core.operations import Operation, Verb
from reconciler.host.overrides_cache import write_placement
from reconciler.kinds.placement.plan import KIND, Write

Report = Callable[[Operation, Exception | None], None]


def handlers(folder: Path) -> Mapping[tuple[str, Verb], Callable[[Sequence[Operation], Report], None]]:
    """What does the verbs of placements."""

    def place(batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            what: Write = operation.payload
            try:
                write_placement(folder / what.file, what.text)
            except StoreError as error:
                report(operation, error)
            else:
                report(operation, None)

    return {(KIND, Verb.PLACE): place}
