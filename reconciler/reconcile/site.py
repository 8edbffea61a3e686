"""The machine at hand, as the spec's settings choose it: where the store is, who supervises, what serves."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reconciler.core.engine import Engine
from reconciler.core.errors import SupervisorError
from reconciler.core.places import Places
from reconciler.core.units import SupervisorKind
from reconciler.host.state import State
from reconciler.host.supervisors.base import Supervisor
from reconciler.spec.settings import Settings

OVERRIDES_CACHE = "overrides-cache"


@dataclass(frozen=True)
class Site:
    """Opened lazily: looking at one part does not pay for the others."""

    settings: Settings
    places: Places
    overrides_cache: Path
    """The folder of kept placements, beside that of the spec."""

    @cached_property
    def owner(self) -> str:
        """Marks units as this store's. Derived from its path, so that it survives a lost database."""
        return hashlib.sha256(self.places.store.encode()).hexdigest()[:12]

    @cached_property
    def supervisor_kind(self) -> SupervisorKind:
        if self.settings.supervisor == "auto":
            from reconciler.host.supervisors.choose import detect  # noqa: PLC0415

            return detect()
        return SupervisorKind(self.settings.supervisor)

    @cached_property
    def supervisor(self) -> Supervisor:
        """The adapter; SupervisorError when this machine cannot use it."""
        from reconciler.host.supervisors.choose import open_supervisor  # noqa: PLC0415

        supervisor = open_supervisor(self.supervisor_kind, state_directory=Path(self.places.state))
        problem = supervisor.problem()
        if problem is not None:
            raise SupervisorError(problem.what, hint=problem.hint)
        return supervisor

    @cached_property
    def engine(self) -> Engine:
        """What serves; EngineError when it is missing or is no llama.cpp."""
        from reconciler.host.engine import find_engine  # noqa: PLC0415

        return find_engine(self.settings.engine, Path(self.places.engine_cache))

    @property
    def user(self) -> str | None:
        """Whom units run as, where the supervisor is root's and would run them as root: the store's owner."""
        if self.supervisor_kind not in {SupervisorKind.SYSTEMD, SupervisorKind.LAUNCHD} or os.geteuid() != 0:
            return None
        store = Path(self.places.store)
        above = next(folder for folder in (store, *store.parents) if folder.exists())
        return above.owner()

    def state(self, *, create: bool = False) -> State:
        """The state database; without `create`, one that does not exist reads as empty."""
        return State.open(Path(self.places.database), create=create)

    def make_folders(self) -> None:
        """The folders that units write to, for nobody else to read: they are those of whom units run as."""
        user = self.user
        for folder in (self.places.state, self.places.sockets, self.places.logs):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            if user is not None:
                shutil.chown(folder, user)


def open_site(settings: Settings, spec_folder: Path, environment: Mapping[str, str] = os.environ) -> Site:
    """The store is `$MODELCTL_STORE`, else `settings.store`; a relative one is beside the spec folder."""
    chosen = environment.get("MODELCTL_STORE")
    if chosen:
        store = Path(chosen).expanduser().absolute()
    else:
        store = (spec_folder.absolute().parent / Path(settings.store).expanduser()).absolute()
    return Site(settings, Places(os.path.normpath(store)), spec_folder.absolute().parent / OVERRIDES_CACHE)
