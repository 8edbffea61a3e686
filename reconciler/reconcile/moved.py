"""Units that another supervisor has than the one that the spec names now."""

from dataclasses import replace
from pathlib import Path

from reconciler.core.errors import SupervisorError
from reconciler.core.units import SupervisorKind
from reconciler.host.supervisors.choose import open_supervisor
from reconciler.kinds.route.types import GATEWAY
from reconciler.kinds.unit.ownership import ownership_of
from reconciler.reconcile.site import Site


def supervisor_before(site: Site) -> SupervisorKind | None:
    """The other supervisor that has units of this store; None where there is none."""
    others = (kind for kind in SupervisorKind if kind is not site.supervisor_kind)
    return next((kind for kind in others if _unit_files(site, kind)), None)


def require_same_supervisor(site: Site) -> None:
    """SupervisorError where units would come to run twice: under the one before, and the one named now."""
    before = supervisor_before(site)
    if before is None:
        return
    files = _unit_files(site, before)
    raise SupervisorError(
        f"{len(files)} unit{'s' if len(files) != 1 else ''} of this store run under {before},"
        f" and the spec names {site.supervisor_kind}",
        hint=f"set settings.supervisor: {before}; to move, stop them there and remove their files first:"
        f" {files[0].parent}/llama@*{files[0].suffix} and {GATEWAY}{files[0].suffix}",
    )


def under(site: Site, kind: SupervisorKind) -> Site:
    """The same machine, looked at through another supervisor."""
    return replace(site, settings=site.settings.model_copy(update={"supervisor": kind.value}))


def _unit_files(site: Site, kind: SupervisorKind) -> list[Path]:
    """Files of ours in the unit folder of `kind`."""
    supervisor = open_supervisor(kind, state_directory=Path(site.places.state))
    paths = [supervisor.unit_path(name) for name in supervisor.installed()]
    return [path for path in paths if _owner(path, kind) == site.owner]


def _owner(path: Path, kind: SupervisorKind) -> str | None:
    try:
        mark = ownership_of(path.read_text(encoding="utf-8"), kind)
    except (OSError, UnicodeDecodeError):
        return None
    return mark.owner if mark else None
