"""Names for plain values, so that signatures say what they take."""

import re
from typing import NewType

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

Bytes = NewType("Bytes", int)
"""A size in bytes."""

ModelId = NewType("ModelId", str)
VersionId = NewType("VersionId", str)
ProfileName = NewType("ProfileName", str)
UnitName = NewType("UnitName", str)
"""`llama@<model>-<profile>`, the same under every supervisor (systemd adds `.service`). Where two
configurations of a runtime may run side by side, `@` and a mark of the configuration follow."""

ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,79}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
REVISION_PATTERN = r"^[0-9a-f]{40}$"

_ID = re.compile(ID_PATTERN)
_SHA256 = re.compile(SHA256_PATTERN)


def is_id(text: str) -> bool:
    """Whether `text` may name a model, version, profile or persona: a single safe path part."""
    return _ID.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def unit_name(model: str, profile: str, mark: str | None = None) -> UnitName:
    return UnitName(f"llama@{model}-{profile}" + ("" if mark is None else f"@{mark}"))
