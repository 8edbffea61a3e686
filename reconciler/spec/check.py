"""What the values of a spec say together: targets that exist, names and ports that stand alone, sums."""

import re
from collections.abc import Iterator

from reconciler.core.suggest import did_you_mean
from reconciler.core.types import ModelId, unit_name
from reconciler.spec.check_ports import check_ports
from reconciler.spec.faults import Fault, Path
from reconciler.spec.model import Model, Spec, Version

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def check(spec: Spec) -> tuple[Fault, ...]:
    """Every fault that takes two places of the spec to see; the values one by one are valid."""
    return tuple(
        fault
        for part in (_check_names, _check_units, _check_models, _check_personas, _check_pins, check_ports)
        for fault in part(spec)
    )


def _check_names(spec: Spec) -> Iterator[Fault]:
    """Ids become file names, and macOS takes `Qwen` and `qwen` for the same file."""
    named = [("model", model.id, ("models", index, "id")) for index, model in enumerate(spec.models)]
    named += [("persona", p.id, ("personas", index, "id")) for index, p in enumerate(spec.personas)]
    seen: dict[str, tuple[str, str, Path]] = {}
    for noun, name, path in named:
        other_noun, other_name, other = seen.setdefault(name.lower(), (noun, name, path))
        if other == path:
            continue
        if name != other_name:
            what = f"the ids `{other_name}` and `{name}` differ only in case"
        elif noun != other_noun:
            what = f"`{name}` is the id of a model and of a persona"
        else:
            what = f"the {noun} id `{name}` stands twice"
        yield Fault(path, what, "rename one of them", other=other)


def _check_units(spec: Spec) -> Iterator[Fault]:
    seen: dict[str, tuple[Model, Path]] = {}
    for index, model in enumerate(spec.models):
        for profile, settings in model.profiles.items():
            if settings is None:
                continue
            path: Path = ("models", index, "profiles", profile)
            name = unit_name(model.id, profile)
            other, first = seen.setdefault(name.lower(), (model, path))
            if first != path and other.id.lower() != model.id.lower():
                yield Fault(
                    path,
                    f"model `{model.id}`: profile `{profile}`: model `{other.id}` has its unit `{name}`",
                    "rename the model or the profile",
                    at_key=True,
                    other=first,
                )


def _check_models(spec: Spec) -> Iterator[Fault]:
    for index, model in enumerate(spec.models):
        at: Path = ("models", index)
        versions = [version.version_id for version in model.versions]
        if model.current_version not in versions:
            yield Fault(
                (*at, "current_version"),
                f"model `{model.id}`: there is no version `{model.current_version}`",
                did_you_mean(model.current_version, versions) or f"versions here: {', '.join(versions)}",
            )
        yield from _check_versions(model, at)
        yield from _check_profiles(model, at, spec)


def _check_versions(model: Model, at: Path) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, version in enumerate(model.versions):
        first = seen.setdefault(version.version_id.lower(), index)
        if first != index:
            yield Fault(
                (*at, "versions", index, "version_id"),
                f"model `{model.id}`: the version `{version.version_id}` stands twice",
                "a version never changes: give the new one an id of its own",
                other=(*at, "versions", first, "version_id"),
            )
        owner = f"model `{model.id}`: version `{version.version_id}`: "
        yield from _check_shards(version, owner, (*at, "versions", index))


def _check_shards(version: Version, owner: str, at: Path) -> Iterator[Fault]:
    found = _SHARD.search(version.gguf_url)
    number, count = (int(found[1]), int(found[2])) if found else (1, 1)
    if number != 1:
        yield Fault(
            (*at, "gguf_url"),
            f"{owner}`gguf_url` names shard {number}",
            f"name the first: `-00001-of-{count:05}.gguf`",
        )
    elif version.sha256 is not None and len(version.hashes) != count:
        hashes = _count(len(version.hashes), "hash", "hashes")
        yield Fault(
            (*at, "sha256"),
            f"{owner}`sha256` has {hashes} for {_count(count, 'file', 'shards')}",
            "leave it out: `modelctl pull` fills it in",
        )


def _check_profiles(model: Model, at: Path, spec: Spec) -> Iterator[Fault]:
    for name, settings in model.profiles.items():
        path: Path = (*at, "profiles", name)
        if settings is not None and model.rollout == "surge" and settings.port is None:
            yield Fault(
                path,
                f"model `{model.id}`: profile `{name}`: `rollout: surge` needs a `port` for the gateway",
                "give it a port, or write `rollout: recreate`",
                at_key=True,
            )
        if name not in spec.profiles:
            there = ", ".join(spec.profiles) or "none"
            hint = did_you_mean(name, spec.profiles) or f"profiles of the spec: {there}"
            yield Fault(path, f"model `{model.id}`: there is no profile `{name}`", hint, at_key=True)
        elif settings is not None and settings.gpu_percentages is None:
            if (settings.strategy or model.strategy) == "shares" and spec.profiles[name].devices > 1:
                yield Fault(
                    path,
                    f"model `{model.id}`: profile `{name}`: `strategy: shares` without `gpu_percentages`",
                    "write one share per GPU of the profile, or `strategy: auto`",
                    at_key=True,
                )
        elif settings is not None and settings.gpu_percentages is not None:
            shares, gpus = settings.gpu_percentages, spec.profiles[name].devices
            owner = f"model `{model.id}`: profile `{name}`: `gpu_percentages`"
            path = (*path, "gpu_percentages")
            if len(shares) != gpus:
                yield Fault(
                    path,
                    f"{owner} has {_count(len(shares), 'share', 'shares')} for {_count(gpus, 'GPU', 'GPUs')}",
                    "write one share per GPU of the profile, in its order, or leave it out",
                )
            elif shares and sum(shares) != 100:  # noqa: PLR2004 - per cent
                yield Fault(path, f"{owner} sums to {sum(shares)}, not to 100")


def _check_personas(spec: Spec) -> Iterator[Fault]:
    for index, persona in enumerate(spec.personas):
        if ModelId(persona.base_model) not in spec.by_id:
            yield Fault(
                ("personas", index, "base_model"),
                f"persona `{persona.id}`: there is no model `{persona.base_model}`",
                did_you_mean(persona.base_model, spec.by_id),
            )


def _check_pins(spec: Spec) -> Iterator[Fault]:
    for model_id, pinned in spec.pins.items():
        model = spec.by_id.get(ModelId(model_id))
        if model is None:
            yield Fault(
                ("pins", model_id),
                f"the pin names no model: `{model_id}`",
                did_you_mean(model_id, spec.by_id),
                at_key=True,
            )
            continue
        versions = [version.version_id for version in model.versions]
        if pinned not in versions:
            yield Fault(
                ("pins", model_id),
                f"the pin of model `{model_id}` names no version of it: `{pinned}`",
                did_you_mean(pinned, versions) or f"versions there: {', '.join(versions)}",
            )
        elif pinned != model.current_version:
            yield Fault(
                ("pins", model_id),
                f"model `{model_id}` is pinned to `{pinned}`, but its version is `{model.current_version}`",
                f"set current_version to the pin, or take the pin away: `modelctl unpin {model_id}`",
            )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
