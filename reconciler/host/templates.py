"""Finds the unit templates: `units/` of a checkout, `reconciler/unit_templates/` of an installed wheel."""

from functools import cache
from pathlib import Path

from reconciler.core.errors import ModelctlError
from reconciler.core.units import SupervisorKind

_PACKAGE = Path(__file__).parent.parent
_FOLDERS = (_PACKAGE / "unit_templates", _PACKAGE.parent / "units")
_SUFFIXES = {
    SupervisorKind.SYSTEMD: "service.j2",
    SupervisorKind.SYSTEMD_USER: "service.j2",
    SupervisorKind.LAUNCHD: "plist.j2",
    SupervisorKind.SUPERVISORD: "supervisord.conf.j2",
    SupervisorKind.PM2: "pm2.json.j2",
}


@cache
def unit_template(kind: SupervisorKind, program: str = "llama") -> str:
    """The Jinja2 text that renders units of `program` for `kind`."""
    name = f"{program}.{_SUFFIXES[kind]}"
    for folder in _FOLDERS:
        path = folder / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise ModelctlError(
        f"the unit template {name} is missing from this installation",
        hint="install modelctl again: pip install --force-reinstall modelctl",
    )
