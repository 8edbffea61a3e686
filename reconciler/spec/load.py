"""From the texts of a spec folder to the spec, or to every fault in them."""

from collections.abc import Mapping

from pydantic import ValidationError

from reconciler.core.errors import SpecError
from reconciler.spec.check import check
from reconciler.spec.merge import Merged, merge
from reconciler.spec.model import Spec
from reconciler.spec.syntax import Document, parse


def load(texts: Mapping[str, str]) -> Spec:
    """Read, merge, validate and cross-check the files of a spec (name → text), in the order of their names.

    Raises SpecError for one fault and SpecErrors for several, each with file, line and column. Faults are
    looked for in stages, since a later one makes no sense before the earlier passed: the YAML of each file,
    what stands in two files, each value, and what the values say together.
    """
    merged = _read(texts)
    try:
        spec = Spec.model_validate(merged.data)
    except ValidationError as error:
        from reconciler.spec.words import word  # noqa: PLC0415 - only errors need words

        faults = word(error.errors(include_url=False), merged.data)
    else:
        faults = check(spec)
        if not faults:
            return spec
    from reconciler.spec.places import as_one, located  # noqa: PLC0415 - only errors need positions

    raise as_one(located(merged, faults))


def _read(texts: Mapping[str, str]) -> Merged:
    documents: list[Document] = []
    errors: list[SpecError] = []
    for file in sorted(texts):
        try:
            documents.append(parse(file, texts[file]))
        except SpecError as error:
            errors.append(error)
    merged, conflicts = merge(documents)
    if errors or conflicts:
        from reconciler.spec.places import as_one, located_conflicts  # noqa: PLC0415 - only errors need positions

        raise as_one([*errors, *located_conflicts(conflicts)])
    return merged
