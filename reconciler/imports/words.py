"""Command lines as words, by the rules of the program that would have split them. Nothing is expanded."""

import re
import shlex

from reconciler.core.errors import FormatError

_PM2_WORD = re.compile(
    r"""[^\s"'=]+="[^"]*" | [^\s"'=]+='[^']*' | "(?P<double>[^"]*)" | '(?P<single>[^']*)' | \S+""",
    re.VERBOSE,
)
_CONTINUED = re.compile(r"\\\r?\n")
_LINE = re.compile(r"\r\n|\n|\r")


def pm2_words(text: str) -> tuple[str, ...]:
    """`args` as one string, split as PM2 splits it (its lib/tools/Config.js): quotes group, none are escaped.

    In `name="two words"` the quotes stay, as they do there.
    """
    words: list[str] = []
    for found in _PM2_WORD.finditer(text):
        quoted = found["double"] if found["double"] is not None else found["single"]
        words.append(found[0] if quoted is None else quoted)
    return tuple(words)


def without_comments(text: str) -> str:
    """A llama-swap `cmd` without its lines that begin with `#`."""
    return "\n".join(line for line in _LINE.split(text) if not line.lstrip().startswith("#"))


def command_words(text: str) -> tuple[str, ...]:
    """A llama-swap `cmd`: lines that begin with `#` are comments, the rest is split as a POSIX shell would.

    FormatError for a quote that is not closed.
    """
    joined = _CONTINUED.sub(" ", without_comments(text))
    try:
        return tuple(shlex.split(joined))
    except ValueError as error:
        raise FormatError(f"its command cannot be read: {error}") from error
