"""The placement kind, joined to the flow: wishes from the spec, the ground from the machine, files kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.core.errors import EngineError
from reconciler.core.gpu import Gpu
from reconciler.core.types import Bytes, ModelId, ProfileName, UnitName, VersionId, unit_name
from reconciler.host.memory import host_memory
from reconciler.host.overrides_cache import read_placement
from reconciler.host.reach import why_unreachable
from reconciler.host.state import State
from reconciler.kinds.artifact.layout import WantedVersion, wanted_version
from reconciler.kinds.artifact.plan import link_id
from reconciler.kinds.placement.document import file_name
from reconciler.kinds.placement.memory_flags import memory_flags, placing_flags
from reconciler.kinds.placement.recall import Recalled, recall, recall_each
from reconciler.kinds.placement.remember import remembered
from reconciler.kinds.placement.types import Device, DeviceKind, Ground, Layout, Placements, Record, Wish
from reconciler.kinds.unit.flags import CACHE_RAM_MIB
from reconciler.placement.devices import RAM_BANDWIDTH, UNKNOWN_GPU_BANDWIDTH, known_bandwidth
from reconciler.reconcile.desired import ActiveProfile, model_flags
from reconciler.reconcile.gpu_watch import own_use
from reconciler.reconcile.site import Site
from reconciler.spec.fields import METAL
from reconciler.spec.model import Model, ModelProfile, Profile, Spec

_MIB = 1024**2
_PRIORITIES = ("high", "normal", "low")
_RAM = "ram"
_REMOTE_BANDWIDTH = 100e9
"""Of an RPC device: behind a network, so it gets what the GPUs have no room for."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that placing one profile looks at, before a header is read."""

    ground: Ground
    wishes: tuple[Wish, ...]
    versions: Mapping[UnitName, WantedVersion]
    recalled: Recalled


def place(spec: Spec, site: Site, state: State, active: ActiveProfile) -> Placements:
    """Where each `always` runtime of the active profile goes, and what `on_demand` ones are told later.

    Without changes this reads one small file per runtime and nothing else.
    """
    if active.name is None:
        return Placements()
    found = survey(spec, site, active)
    records = found.recalled.kept
    if not found.recalled.missing:
        layouts, warnings = remembered(found.wishes, found.ground, records)
        placed = Placements(layouts, (), (*found.recalled.warnings, *warnings))
    else:
        from reconciler.reconcile.placing import settled  # noqa: PLC0415 - the memory model takes time to import

        plan = settled(found, spec, site, state, active.gpus)
        records = plan.records
        placed = Placements(plan.layouts, plan.operations, plan.warnings)
    placed = replace(placed, layouts=_reachable(placed.layouts, spec.profiles[active.name], site, state))
    later = _survey_on_demand(spec, site, active.name, found.ground, records)
    if not later.recalled.missing:
        return replace(placed, warnings=(*placed.warnings, *later.recalled.warnings))
    from reconciler.reconcile.placing import settled_each  # noqa: PLC0415 - likewise

    operations, more = settled_each(later, records, site, state, active.gpus)
    return replace(placed, operations=(*placed.operations, *operations), warnings=(*placed.warnings, *more))


def _reachable(
    layouts: Mapping[UnitName, Layout], profile: Profile, site: Site, state: State
) -> Mapping[UnitName, Layout]:
    """Refuse what would be laid out over an RPC server that is away; a runtime that is loaded is not touched.

    The profile stays: a short breakdown of the network must move nothing.
    """
    wanted = {peer for layout in layouts.values() for peer in layout.peers}
    if not wanted:
        return layouts
    busy = own_use(site, state).placed
    away = {
        server.address: why
        for server in profile.rpc
        if server.address in wanted
        and (why := why_unreachable(server.address, busy=server.address in busy)) is not None
    }
    return {unit: _without_peers(layout, away) for unit, layout in layouts.items()}


def _without_peers(layout: Layout, away: Mapping[str, str]) -> Layout:
    peer = next((peer for peer in layout.peers if peer in away), None)
    if peer is None or layout.blocked is not None:
        return layout
    host, _, port = peer.rpartition(":")
    reason = f"the RPC server {peer}, which it is laid out over, does not answer: {away[peer]}"
    hint = f"there: `ggml-rpc-server -H {host} -p {port}`; or serve it under a profile without that server"
    return replace(layout, blocked=(reason, hint))


def _survey_on_demand(
    spec: Spec, site: Site, profile: ProfileName, ground: Ground, always: Mapping[UnitName, Record]
) -> Survey:
    """The `on_demand` models that are placed ahead, each alone beside those that are `always` loaded.

    As many as the pool has ports, those of the highest priority first: so many can be loaded at once, and a
    plan costs the same whether a hundred are declared or ten thousand. Others are placed when asked for.
    """
    declared = [
        (model, settings) for model, settings in spec.served(profile) if model.residency == "on_demand"
    ]
    declared.sort(key=lambda pair: _PRIORITIES.index(pair[0].priority))
    found = [
        wish_of(model, settings, ground) for model, settings in declared[: len(spec.settings.pool.port_range)]
    ]
    wishes = tuple(wish for wish, _ in found)
    recalled = recall_each(wishes, ground, _texts(site, wishes), always.values())
    return Survey(ground, wishes, {wish.unit: version for wish, version in found}, recalled)


def _texts(site: Site, wishes: Iterable[Wish]) -> dict[UnitName, str]:
    return {
        wish.unit: text
        for wish in wishes
        if (text := read_placement(site.overrides_cache / file_name(wish.unit))) is not None
    }


def survey(spec: Spec, site: Site, active: ActiveProfile, also: ModelId | None = None) -> Survey:
    """Wishes, devices and kept placements; `also` names an `on_demand` model to be placed beside the rest."""
    if active.name is None:
        raise ValueError("no profile is active, so nothing can be placed")
    ground, problem = ground_of(spec, site, active.name, active.gpus)
    wishes: list[Wish] = []
    versions: dict[UnitName, WantedVersion] = {}
    for model, settings in spec.served(active.name):
        if model.residency == "always" or model.model_id == also:
            wish, version = wish_of(model, settings, ground, problem)
            wishes.append(wish)
            versions[wish.unit] = version
    return Survey(ground, tuple(wishes), versions, recall(wishes, ground, _texts(site, wishes)))


def ground_of(spec: Spec, site: Site, name: ProfileName, gpus: Sequence[Gpu]) -> tuple[Ground, str | None]:
    """The devices in the profile's order, and why some of them cannot be used."""
    profile = spec.profiles[name]
    memory = host_memory()
    cards = iter(gpus)
    devices: list[Device] = []
    problem = None
    for card in profile.gpus:
        if card.lower() != METAL:
            devices += [_card(gpu) for gpu in (next(cards, None),) if gpu is not None]
        elif memory.unified_gpu_limit is None:
            problem = f"profile {name} names `metal`, but this is no Apple Silicon machine"
        else:
            speed = known_bandwidth(memory.unified_gpu_name) or UNKNOWN_GPU_BANDWIDTH
            devices.append(Device(DeviceKind.METAL, METAL, "Apple GPU", memory.unified_gpu_limit, speed))
    for server in profile.rpc:
        rpc = f"rpc {server.address}"
        devices.append(Device(DeviceKind.RPC, server.address, rpc, server.vram, _REMOTE_BANDWIDTH))
    names = {device.id: METAL if device.kind is DeviceKind.METAL else device.name for device in devices}
    stated = _stated({**names, _RAM: _RAM}, spec.settings.bandwidths)
    return Ground(
        profile=name,
        devices=tuple(
            replace(device, bandwidth=stated[device.id] * 1e9) if device.id in stated else device
            for device in devices
        ),
        ram=memory.total,
        ram_bandwidth=stated[_RAM] * 1e9 if _RAM in stated else RAM_BANDWIDTH,
        reserved_ram=spec.settings.reserve.ram,
        reserved_vram=spec.settings.reserve.vram,
        engine=_engine(site),
        stated_bandwidths=stated,
    ), problem


def _engine(site: Site) -> str:
    try:
        return site.engine.label
    except EngineError:
        return "none"  # whoever needs it says so; where a model goes can be told without


def _card(gpu: Gpu) -> Device:
    """A card's own figure goes before the table, which knows no laptops and no halved memories."""
    speed = gpu.bandwidth or known_bandwidth(gpu.name) or UNKNOWN_GPU_BANDWIDTH
    return Device(DeviceKind.NVIDIA, gpu.uuid, gpu.name, gpu.total, speed)


def _stated(names: Mapping[str, str], bandwidths: Mapping[str, int]) -> dict[str, int]:
    """GB per second by id: the longest of the spec's names that is a part of this one."""
    fits = {id_: [part for part in bandwidths if part.lower() in name.lower()] for id_, name in names.items()}
    return {id_: bandwidths[max(parts, key=len)] for id_, parts in fits.items() if parts}


def wish_of(
    model: Model, settings: ModelProfile, ground: Ground, problem: str | None = None
) -> tuple[Wish, WantedVersion]:
    """What the model wants of this ground, and its files. `problem`: why the ground cannot be used whole."""
    version = wanted_version(model, model.current)
    strategy = settings.strategy or model.strategy
    if not ground.devices and strategy != "manual":
        strategy = "auto"
    flags = model_flags(model, settings)
    counting = memory_flags(flags)
    blocked = None if problem is None else (problem, "serve the model under another profile")
    taken = placing_flags(flags)
    if ground.devices and strategy != "manual" and taken:
        what = f"the flag `{taken[0]}` says where the model goes, which `strategy: {strategy}` decides"
        blocked = (what, "remove it, or write `strategy: manual` to give all such flags yourself")
    resolved = all(file.resolved for file in version.files)
    return Wish(
        unit=unit_name(model.id, ground.profile),
        model=model.model_id,
        version=model.current_version,
        strategy=strategy,
        shares=settings.gpu_percentages,
        context_tokens=settings.context_tokens or model.context_tokens,
        parallel=settings.parallel or model.parallel,
        embedding=model.embedding,
        cache_ram=_cache_ram(counting.pop("cache-ram", CACHE_RAM_MIB)),
        flags=tuple(counting.items()),
        artifacts=tuple((file.name, file.sha256) for file in version.files if file.sha256)
        if resolved
        else (),
        needs=(link_id(model.model_id, VersionId(model.current_version)),),
        blocked=blocked,
    ), version


def _cache_ram(mib: Any) -> Bytes:
    """-1 is without a limit, which nobody can reckon with."""
    return Bytes(max(0, int(mib)) * _MIB) if isinstance(mib, int | float) else Bytes(0)
