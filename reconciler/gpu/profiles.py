"""Which GPUs a profile means."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.gpu import Gpu
from reconciler.core.suggest import nearest
from reconciler.core.types import ProfileName

_SLICE_PREFIX = "mig-"
_UUID_PREFIXES = ("gpu-", _SLICE_PREFIX)


@dataclass(frozen=True, slots=True)
class ProfileFault:
    """A GPU of a profile that cannot be told or is not there; the profile cannot be active."""

    profile: ProfileName
    gpu: str
    """As the spec names it."""
    what: str
    hint: str
    ambiguous: bool = False
    """The GPU is there, and so are others of its name."""


@dataclass(frozen=True, slots=True)
class ProfileMatch:
    """A profile's GPUs in its order; without faults as many as the spec names, and a process can use them."""

    profile: ProfileName
    gpus: tuple[Gpu, ...]
    faults: tuple[ProfileFault, ...] = ()


def match(profiles: Mapping[ProfileName, Sequence[str]], gpus: Sequence[Gpu]) -> tuple[ProfileMatch, ...]:
    """Find each profile's GPUs among those of the machine, in the profiles' order.

    A GPU is named by its UUID, by the beginning of one, or by a part of its product name; case does not
    matter. Each GPU is used once per profile: naming `RTX 3060` twice means two such cards, in bus order.
    A name that fits more cards than it is written for is a fault, because the choice would be a guess.
    """
    return tuple(_match_one(profile, tuple(names), gpus) for profile, names in profiles.items())


def named(name: str, gpus: Iterable[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that one name fits, in bus order.

    A name that is the end of a product name (`RTX 3060`) does not mean a longer one (`RTX 3060 Ti`) where
    both are there.
    """
    wanted = _normal(name)
    if wanted.startswith(_UUID_PREFIXES):
        return tuple(gpu for gpu in gpus if gpu.uuid.lower().startswith(wanted))
    found = tuple(gpu for gpu in gpus if wanted and wanted in _normal(gpu.name))
    whole = tuple(gpu for gpu in found if re.search(rf"(?:^|\W){re.escape(wanted)}$", _normal(gpu.name)))
    return whole or found


def _normal(text: str) -> str:
    return " ".join(text.lower().split())


def _match_one(profile: ProfileName, names: tuple[str, ...], gpus: Sequence[Gpu]) -> ProfileMatch:
    """Give each name its GPUs, beginning with the names that leave no choice."""
    wanted = Counter(_normal(name) for name in names)
    given: dict[str, list[Gpu]] = {}
    free = sorted(gpus, key=lambda gpu: gpu.index)
    while True:
        settled = {
            name: fits
            for name, count in wanted.items()
            if name not in given and len(fits := named(name, free)) == count
        }
        if not settled:
            break
        name, fits = next(iter(settled.items()))
        given[name] = list(fits)
        free = [gpu for gpu in free if gpu not in fits]
    faults = tuple(
        _fault(profile, name, wanted[_normal(name)], named(name, free), gpus)
        for name in dict.fromkeys(names)
        if _normal(name) not in given
    )
    found = tuple(given[_normal(name)].pop(0) for name in names if _normal(name) in given)
    return ProfileMatch(profile, found, (*faults, *_beside_a_slice(profile, found)))


def _beside_a_slice(profile: ProfileName, gpus: Sequence[Gpu]) -> Iterator[ProfileFault]:
    """CUDA lets a process use a single MIG slice, and no other GPU with it."""
    slices = [gpu for gpu in gpus if gpu.uuid.lower().startswith(_SLICE_PREFIX)]
    if slices and len(gpus) > 1:
        what = f"profile {profile}: CUDA gives a process one MIG slice and no GPU beside it, not {len(gpus)}"
        yield ProfileFault(profile, slices[0].uuid, what, f"name {slices[0].uuid} alone")


def _fault(
    profile: ProfileName, name: str, count: int, fits: Sequence[Gpu], gpus: Sequence[Gpu]
) -> ProfileFault:
    if len(fits) > count:
        which = ", ".join(f"{gpu.name} ({gpu.uuid})" for gpu in fits)
        what = f"profile {profile}: {name!r} fits {len(fits)} GPUs: {which}"
        return ProfileFault(profile, name, what, "write the UUID of the one that is meant", ambiguous=True)
    if fits:
        there = f"{len(fits)} such GPU{'' if len(fits) == 1 else 's'}"
        what = f"profile {profile}: {name!r} is named {count} times, but there is only {there} for it"
        return ProfileFault(profile, name, what, "name it once per card that is there")
    if named(name, gpus):
        what = f"profile {profile}: the GPU that {name!r} fits is already taken by another name"
        return ProfileFault(profile, name, what, "name each GPU of a profile once")
    what = f"profile {profile}: no GPU here fits {name!r}"
    return ProfileFault(profile, name, what, _suggestion(name, gpus))


def _suggestion(name: str, gpus: Sequence[Gpu]) -> str:
    if not gpus:
        return "no GPU is visible: `modelctl gpu` says why"
    short = {_normal(gpu.name).removeprefix("nvidia ").removeprefix("geforce "): gpu.name for gpu in gpus}
    near = nearest(_normal(name), short)
    if near is not None:
        return f"did you mean {short[near]!r}?"
    return "here are: " + ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
