"""Values written so that each supervisor reads back exactly what was meant.

Every function here has its inverse in `reconciler.kinds.unit.parse`.
"""

import json
import re
import unicodedata
from xml.sax.saxutils import escape as _xml_escape

from reconciler.core.errors import SpecError

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
_INI_COMMENT = re.compile(r"\s[;#]")


def refuse_unsafe(value: str, what: str) -> str:
    """Return `value`, or raise SpecError if it holds what no unit file may hold.

    Control characters and line separators could end a line and add a directive; surrogates and non-characters
    have no UTF-8 or XML form.
    """
    for character in value:
        category = unicodedata.category(character)
        if category in {"Cc", "Cs", "Zl", "Zp"} or (ord(character) & 0xFFFE) == 0xFFFE:  # noqa: PLR2004
            raise SpecError(
                f"{what} contains the character U+{ord(character):04X}, which no unit file can hold",
                hint="remove the control character or line break from the value",
            )
    return value


def systemd_word(value: str) -> str:
    """One word of a systemd list or command (systemd.syntax(7)): quotes where needed, `%` doubled.

    `$` stays: our ExecStart has the `:` prefix, which switches variable substitution off for the whole line.
    """
    doubled = value.replace("%", "%%")
    if _PLAIN.fullmatch(value):
        return doubled
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_line(value: str) -> str:
    """A systemd value that takes the rest of the line as it stands (a path or a description)."""
    if value != value.strip() or value.endswith("\\"):
        raise SpecError(
            f"systemd cannot hold {value!r}: it starts or ends with a blank, or ends with a backslash",
            hint="rename the path",
        )
    return value.replace("%", "%%")


def ini_word(value: str) -> str:
    """One word of a supervisord command: read by its INI parser (comments, `%` expansion), then by shlex.

    A backslash before every special character also keeps `;` and `#` from following a blank, where they would
    start a comment, and breaks up `%(here)s`, which is replaced before anything else is read.
    """
    if _PLAIN.fullmatch(value):
        return value
    if not any(character in "'\\;#(" for character in value):
        return "'" + value.replace("%", "%%") + "'"
    escaped = "".join(
        character if _PLAIN.fullmatch(character) or character == "%" else "\\" + character
        for character in value
    )
    return escaped.replace("%", "%%") + "''"


def ini_line(value: str) -> str:
    """A supervisord value that is taken as it stands (a path)."""
    if value != value.strip() or _INI_COMMENT.search(value) or "%(here)s" in value:
        raise SpecError(
            f"supervisord cannot hold {value!r}: a blank at an end, a blank before ; or #, or %(here)s",
            hint="rename the path, or use another supervisor",
        )
    return value.replace("%", "%%")


def ini_environment(value: str) -> str:
    """A value in supervisord's `environment=`, quoted; its parser knows no escape inside quotes."""
    quote = "'" if '"' in value else '"'
    if quote in value or value.strip("'\"") != value or _INI_COMMENT.search(value) or "%(here)s" in value:
        raise SpecError(
            f"supervisord cannot hold the environment value {value!r}: both kinds of quotes, a quote at an "
            "end, a blank before ; or #, or %(here)s",
            hint="change the value, or use another supervisor",
        )
    return quote + value.replace("%", "%%") + quote


def xml_text(value: str) -> str:
    return _xml_escape(value)


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
