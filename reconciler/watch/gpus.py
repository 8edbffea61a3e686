"""Keeps the active profile: one look at the GPUs per tick of the watcher, said where others read it."""

from contextlib import suppress
from pathlib import Path

from reconciler.core.conditions import Condition
from reconciler.core.types import ProfileName
from reconciler.host.profile_file import profile_path, write_profile
from reconciler.host.state import State
from reconciler.reconcile.gpu_watch import GpuWatch, open_watch, own_use
from reconciler.reconcile.site import Site
from reconciler.spec.model import Spec


class ProfileKeeper:
    """Idle while the spec names no GPUs. Not for several threads at once."""

    def __init__(self) -> None:
        self._watch: GpuWatch | None = None
        self.active: ProfileName | None = None
        self.conditions: tuple[Condition, ...] = ()

    def look(self, spec: Spec, site: Site, state: State) -> ProfileName | None:
        """The profile that holds now; None while none is possible, and for a spec without GPUs."""
        profiles = {ProfileName(name): profile.cards for name, profile in spec.profiles.items()}
        if not any(profiles.values()):
            self._watch, self.active, self.conditions = None, None, ()
            with suppress(OSError):
                profile_path(Path(site.places.state)).unlink(missing_ok=True)
            return None
        if self._watch is None:
            self._watch = open_watch(site, profiles)
        self._watch.profiles = profiles
        view = self._watch.look(own_use(site, state))
        self.active = view.selection.active
        self.conditions = view.conditions()
        path = profile_path(Path(site.places.state))
        try:
            write_profile(path, self.active)
        except OSError as error:
            message = f"{path} cannot be written, so others read an old profile there: {error.strerror}"
            self.conditions += (Condition("profile", "Degraded", "ProfileUntold", message),)
        return self.active
