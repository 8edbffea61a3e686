"""From a unit's definition to the text of its file. Pure: the template comes in as text."""

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.core.errors import SpecError
from reconciler.core.restarts import CRASHES, DELAY_MILLISECONDS, LOG_BYTES, LOG_KEEP, WINDOW_SECONDS
from reconciler.core.units import RenderedUnit, SupervisorKind, UnitDefinition
from reconciler.kinds.unit import escape, sandbox
from reconciler.kinds.unit.ownership import Ownership

if TYPE_CHECKING:
    from jinja2 import Template

_FILTERS: dict[str, Callable[..., str]] = {
    "systemd_word": escape.systemd_word,
    "systemd_line": escape.systemd_line,
    "ini_word": escape.ini_word,
    "ini_line": escape.ini_line,
    "ini_environment": escape.ini_environment,
    "xml": escape.xml_text,
    "json": escape.json_text,
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

UNIT_VARIABLE = "MODELCTL_UNIT"
"""In every unit's environment: its name. The guard knows our processes by it."""
MEMORY_VARIABLE = "MODELCTL_MEMORY_LIMIT"
"""In the environment of a unit with a memory limit: the limit in bytes."""
LOG_VARIABLE = "MODELCTL_LOG"
"""In the environment of a unit that logs to a file: the file."""


def render(
    definition: UnitDefinition, ownership: Ownership, kind: SupervisorKind, template: str
) -> RenderedUnit:
    """Render the unit's file for `kind`.

    Raises SpecError when a value holds a control character or something that the supervisor's format cannot
    express; nothing is ever silently altered.
    """
    _refuse_unsafe(definition)
    text = _compiled(template).render(
        unit=definition,
        ownership=ownership,
        environment=_environment(definition),
        scope="user" if kind is SupervisorKind.SYSTEMD_USER else "system",
        sandbox=sandbox.of(definition),
        crashes=CRASHES,
        window_seconds=WINDOW_SECONDS,
        delay_milliseconds=DELAY_MILLISECONDS,
        log_bytes=LOG_BYTES,
        log_keep=LOG_KEEP,
    )
    return RenderedUnit(name=definition.name, text=text, config_hash=ownership.config_hash)


def _environment(definition: UnitDefinition) -> tuple[tuple[str, str], ...]:
    marks = [(UNIT_VARIABLE, str(definition.name))]
    if definition.memory_limit is not None:
        marks.append((MEMORY_VARIABLE, str(definition.memory_limit)))
    if definition.log_path is not None:
        marks.append((LOG_VARIABLE, definition.log_path))
    return (*definition.environment, *marks)


def _refuse_unsafe(definition: UnitDefinition) -> None:
    if not definition.argv or not definition.argv[0].startswith("/"):
        raise SpecError(f"{definition.name}: the command must start with an absolute path")
    for position, argument in enumerate(definition.argv):
        escape.refuse_unsafe(argument, f"{definition.name}: argument {position}")
    for key, value in definition.environment:
        if not _VARIABLE.fullmatch(key):
            raise SpecError(f"{definition.name}: {key!r} is no name for an environment variable")
        escape.refuse_unsafe(value, f"{definition.name}: the environment variable {key}")
    paths = [definition.working_directory, *definition.read_paths, *definition.write_paths]
    if definition.log_path is not None:
        paths.append(definition.log_path)
    for path in paths:
        escape.refuse_unsafe(path, f"{definition.name}: the path {path!r}")
        if not path.startswith("/"):
            raise SpecError(f"{definition.name}: the path {path!r} is not absolute")
    for text, what in ((definition.description, "the description"), (definition.user or "", "the user")):
        escape.refuse_unsafe(text, f"{definition.name}: {what}")


@cache
def _compiled(template: str) -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - costs 50 ms, and most commands render nothing

    environment = Environment(
        autoescape=False,  # noqa: S701 - no HTML: each value passes the filter of its format
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = environment.filters
    filters.update(_FILTERS)
    return environment.from_string(template)
