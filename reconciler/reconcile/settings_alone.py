"""The settings of a spec that does not load: a fault elsewhere does not change which machine is meant."""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from reconciler.core.errors import SpecError
from reconciler.spec.merge import merge
from reconciler.spec.settings import Settings
from reconciler.spec.syntax import Document, parse

_KEY = "settings"
_BLOCK = re.compile(rf"^{_KEY}:[^\n]*\n(?:(?:[ \t#][^\n]*|\r)?\n)*(?=[^\s#])", re.MULTILINE)
"""A section that another one follows, so that nothing of it can be missing."""


def settings_alone(texts: Mapping[str, str]) -> Settings | None:
    """What the files (name → text) say in `settings`; the defaults where they say nothing there.

    None where that cannot be told: a section that contradicts itself, is no settings, or may be cut off.
    """
    documents: list[Document] = []
    for file, text in texts.items():
        found = _section(file, text)
        if found is None:
            return None
        documents.append(found)
    merged, conflicts = merge(documents)
    if conflicts:
        return None
    try:
        return Settings.model_validate(merged.data.get(_KEY) or {})
    except ValidationError:
        return None


def _section(file: str, text: str) -> Document | None:
    """The file with nothing but its settings; None where it cannot be read and they may be what is lost."""
    try:
        whole = parse(file, text)
    except SpecError:
        block = _BLOCK.search(text)
        if block is None:
            return None
        try:
            whole = parse(file, block[0])
        except SpecError:
            return None
    return Document(file, whole.text, {key: value for key, value in whole.data.items() if key == _KEY})
