"""llama-swap's macros: `${name}` and `${env.NAME}` in texts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from reconciler.core.errors import FormatError

_MACRO = re.compile(r"\$\{([A-Za-z0-9_-]+)\}")
_VARIABLE = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}")
_DEEPEST = 20
_LONGEST = 64 * 1024
"""Characters of an expanded text; macros in macros double what they hold."""


@dataclass(frozen=True, slots=True)
class Macros:
    """Names and the texts that they stand for. A model's own win over those of the whole configuration."""

    texts: Mapping[str, str]
    environment: Mapping[str, str]
    reserved: frozenset[str] = frozenset()
    """Names whose text is not expanded any further."""

    @classmethod
    def of(cls, entries: Any, environment: Mapping[str, str]) -> Self:
        """FormatError where `entries` is no mapping of names to plain values."""
        return cls(_texts(entries), environment)

    def with_own(self, entries: Any, reserved: Mapping[str, str]) -> Self:
        texts = {**self.texts, **_texts(entries), **reserved}
        return replace(self, texts=texts, reserved=frozenset(reserved))

    def expand(self, text: str) -> str:
        """FormatError for a name that stands for nothing, and for macros that hold themselves."""
        text = _VARIABLE.sub(self._variable, text)
        for _ in range(_DEEPEST):
            names = set(_MACRO.findall(text)) - self.reserved
            if not names:
                return _MACRO.sub(lambda found: self.texts[found[1]], text)
            unknown = sorted(names - self.texts.keys())
            if unknown:
                raise FormatError(f"its macro ${{{unknown[0]}}} stands for nothing")
            text = _MACRO.sub(
                lambda found: found[0] if found[1] in self.reserved else self.texts[found[1]], text
            )
            text = _VARIABLE.sub(self._variable, text)
            if len(text) > _LONGEST:
                raise FormatError(f"its macros expand to more than {_LONGEST // 1024} KiB")
        raise FormatError("its macros hold themselves")

    def _variable(self, found: re.Match[str]) -> str:
        value = self.environment.get(found[1])
        if value is None:
            raise FormatError(
                f"the environment variable {found[1]} is not set", hint=f"set {found[1]}, run again"
            )
        return value


def _texts(entries: Any) -> dict[str, str]:
    if entries is None:
        return {}
    if not isinstance(entries, dict) or any(isinstance(v, dict | list) for v in entries.values()):
        raise FormatError("its macros are no mapping of names to texts")
    return {str(name): _text(value) for name, value in entries.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
