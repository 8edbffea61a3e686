"""Which profile is active now, for a command that looks once."""

from itertools import takewhile

from reconciler.core.types import ProfileName
from reconciler.host.state import State
from reconciler.reconcile.desired import ActiveProfile
from reconciler.reconcile.gpu_watch import gpus_of, held_profile, open_watch, own_use
from reconciler.reconcile.site import Site
from reconciler.spec.model import Spec


def active_profile(spec: Spec, site: Site, state: State) -> ActiveProfile:
    """What a running watcher says, else the best that one look allows.

    A spec without GPUs is not kept waiting for the driver.
    """
    profiles = {ProfileName(name): profile.cards for name, profile in spec.profiles.items()}
    if not any(profiles.values()):
        return ActiveProfile(next(iter(profiles)), (), ())
    view = open_watch(site, profiles).look(own_use(site, state))
    name = held_profile(site, profiles, view)
    seen = view.selection.profiles
    better = {one.profile for one in takewhile(lambda one: one.profile != name, seen)}
    warnings = tuple(
        f"profile {one.profile} cannot be active: {'; '.join(one.why_not)}"
        for one in seen
        # Of those below the active one, who is merely busy is no news; who names a wrong GPU is.
        if one.why_not and (one.profile in better or (one.profile != name and one.faults))
    )
    return ActiveProfile(name, () if name is None else gpus_of(view, name), warnings)
