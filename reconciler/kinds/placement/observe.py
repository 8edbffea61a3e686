"""Reads what placing needs to know of a version's files: their headers, nothing else."""

from collections.abc import Sequence

from reconciler.core.errors import FormatError
from reconciler.gguf.header import GgufHeader
from reconciler.gguf.reader import Part, read_header, read_model
from reconciler.kinds.placement.figures import Figures
from reconciler.placement.memory import Model, read_model_figures


def read_figures(
    shards: Sequence[Part],
    *,
    adapters: Sequence[Part] = (),
    projector: Part | None = None,
    draft: Part | None = None,
) -> Figures:
    """Read the headers; FormatError names the file that is not what it should be."""
    return Figures(
        model=_model(read_model(shards), shards[0].name),
        adapters=tuple(read_header(part) for part in adapters),
        projector=None if projector is None else read_header(projector),
        draft=None if draft is None else _model(read_header(draft), draft.name),
    )


def _model(header: GgufHeader, name: str) -> Model:
    try:
        return read_model_figures(header)
    except FormatError as error:
        raise FormatError(f"{name}: {error.what}", hint=error.hint) from error
