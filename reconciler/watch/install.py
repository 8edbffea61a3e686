"""The watcher as a unit of the supervisor that the models run under."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.errors import SupervisorError, UsageError
from reconciler.core.types import UnitName
from reconciler.core.units import SupervisorKind
from reconciler.host.files import atomic_write
from reconciler.host.templates import unit_template
from reconciler.kinds.unit import escape
from reconciler.reconcile.site import Site

NAME = UnitName("modelctl-watch")
_PASSED_ON = (
    "PATH", "MODELCTL_STORE", "MODELCTL_GPU_LOCKOUT", "HF_HOME", "HF_ENDPOINT", "PM2_HOME", "SSL_CERT_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""What decides where things are. A watcher that found another engine on PATH would restart every model."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was done, for whoever asked."""

    name: str
    path: str
    done: str


def install(site: Site, folder: Path, arguments: Sequence[str], *, system: bool) -> Told:
    """Write, enable and start the unit; installed before, it is replaced. Models are not touched."""
    _check_scope(site, system=system)
    supervisor = site.supervisor
    site.make_folders()
    supervisor.ensure_running()
    path = supervisor.unit_path(NAME)
    text = render(site, folder, arguments, os.environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text, 0o600)
    supervisor.reload([NAME], [])
    supervisor.restart([NAME])
    return Told(NAME, str(path), f"{NAME} runs under {site.supervisor_kind} ({path})")


def uninstall(site: Site, *, system: bool) -> Told:
    """Stop and remove the unit; without one, that is said and nothing is done."""
    _check_scope(site, system=system)
    supervisor = site.supervisor
    path = supervisor.unit_path(NAME)
    if not path.exists():
        return Told(NAME, str(path), f"{NAME} is not installed ({path})")
    if supervisor.is_running():
        supervisor.stop([NAME])
    path.unlink()
    if supervisor.is_running():
        supervisor.reload([], [NAME])
    return Told(NAME, str(path), f"{NAME} is stopped and gone; models go on ({path})")


def render(site: Site, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """The text of the unit's file. SpecError when a path holds what the supervisor's format cannot."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - costs 50 ms

    kind = site.supervisor_kind
    argv = (sys.executable, "-m", "reconciler.cli", "watch", "--spec", str(folder), *arguments)
    passed = tuple((key, environment[key]) for key in _PASSED_ON if environment.get(key))
    for word in (*argv, *(value for _, value in passed)):
        escape.refuse_unsafe(word, f"{NAME}: {word!r}")
    jinja = Environment(
        autoescape=False,  # noqa: S701 - no HTML: each value passes the filter of its format
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = jinja.filters
    filters.update(
        systemd_word=escape.systemd_word,
        systemd_line=escape.systemd_line,
        ini_word=escape.ini_word,
        ini_line=escape.ini_line,
        ini_environment=escape.ini_environment,
        xml=escape.xml_text,
        json=escape.json_text,
    )
    return jinja.from_string(unit_template(kind, "watch")).render(
        name=NAME,
        argv=argv,
        folder=str(folder),
        # `-m` finds our package from here, installed or checked out.
        directory=str(Path(__file__).parents[2]),
        environment=passed,
        log_path=None if site.supervisor.journal else f"{site.places.logs}/{NAME}.log",
        scope="user" if kind is SupervisorKind.SYSTEMD_USER else "system",
    )


def _check_scope(site: Site, *, system: bool) -> None:
    if system and site.supervisor_kind is not SupervisorKind.SYSTEMD:
        raise UsageError(
            f"the models run under {site.supervisor_kind}, and the watcher runs beside them",
            hint="set settings.supervisor: systemd in the spec for units of the system",
        )
    if not system and site.supervisor_kind is SupervisorKind.SYSTEMD:
        raise SupervisorError(
            "the models are units of the system, and so is their watcher",
            hint="modelctl watch --install --system",
        )
