"""From the spec to runtimes as this machine will run them under the active profile. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.endpoint import Endpoint, SocketEndpoint, TcpEndpoint
from reconciler.core.engine import Engine
from reconciler.core.errors import EngineError
from reconciler.core.gpu import Gpu
from reconciler.core.places import MAXIMUM_SOCKET_PATH, Places
from reconciler.core.plan import Revision
from reconciler.core.routes import Route
from reconciler.core.types import Bytes, ProfileName, UnitName, VersionId, unit_name
from reconciler.core.units import GpuAccess, UnitDefinition
from reconciler.kinds.artifact.layout import artifact_paths
from reconciler.kinds.artifact.plan import link_id
from reconciler.kinds.placement.types import Placements
from reconciler.kinds.route.types import GATEWAY
from reconciler.kinds.unit.flags import LoraFile, RuntimeSettings, compile_flags
from reconciler.kinds.unit.types import DesiredUnit
from reconciler.reconcile.plan import Desired
from reconciler.spec.model import Model, ModelProfile, Spec

_LOOPBACK = "127.0.0.1"
_MARK_LENGTH = 8
"""Hexadecimal digits of a configuration's hash in the name of its unit. Should two configurations of one
runtime ever share them, the change is made in place."""


@dataclass(frozen=True, slots=True)
class ActiveProfile:
    """The profile that is served now and its GPUs in its order; `name` is None when none can be."""

    name: ProfileName | None
    gpus: tuple[Gpu, ...]
    warnings: tuple[str, ...]
    """Why profiles that go before it cannot be active."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What compiling needs to know of this machine."""

    places: Places
    engine: Engine
    journal: bool
    """Whether the supervisor keeps logs by itself."""
    active: ActiveProfile
    placements: Placements
    """Where each runtime goes; every one of them has a layout."""
    user: str | None
    """Whom units run as where the supervisor is root's."""
    room: Mapping[str, Bytes]
    """Memory that is free now, above the reserve, by device and of `ram`; a device without an entry is not
    limited."""
    gateway: tuple[str, ...]
    """What starts the gateway, but for its arguments."""
    package: str
    """The folder that holds our package."""


def compile_spec(spec: Spec, revision: Revision, facts: Facts) -> Desired:
    """Every `always` runtime of the active profile, and what is wrong with single ones."""
    active = facts.active
    if active.name is None:
        return Desired(spec, revision, ProfileName(""), (), warnings=active.warnings)
    served = [
        (model, settings) for model, settings in spec.served(active.name) if model.residency == "always"
    ]
    units = tuple(_unit(_Wish(spec, model, settings, active.name, facts)) for model, settings in served)
    placed = facts.placements
    return Desired(
        spec,
        revision,
        active.name,
        units,
        placements=placed.operations,
        warnings=(*active.warnings, *placed.warnings),
        routes={
            unit.name: Route(model.model_id, ports_of(model, active.name), unit.endpoint, unit.ready_seconds)
            for (model, _), unit in zip(served, units, strict=True)
            if model.rollout == "surge"
        },
        room=facts.room,
        gateway=_gateway(facts),
    )


def ports_of(model: Model, active: ProfileName) -> tuple[int, ...]:
    """Every port that a model has in the spec, the active profile's first: the gateway holds them all."""
    served = [
        (profile, settings.port) for profile, settings in model.profiles.items() if settings is not None
    ]
    ordered = sorted((profile != active, port) for profile, port in served if port is not None)
    return tuple(dict.fromkeys(port for _, port in ordered))


def _gateway(facts: Facts) -> UnitDefinition:
    places = facts.places
    return UnitDefinition(
        name=GATEWAY,
        description="Gateway to the models (modelctl)",
        argv=(*facts.gateway, "--snapshot", places.gateway_snapshot, "--control", places.gateway_control),
        environment=(("PYTHONPATH", facts.package),),
        working_directory=places.state,
        log_path=None if facts.journal else f"{places.logs}/{GATEWAY}.log",
        memory_limit=None,
        read_paths=(facts.package, places.store),
        write_paths=(places.sockets,),
        gpu=GpuAccess.NONE,
        loopback=True,
        user=facts.user,
    )


@dataclass(frozen=True, slots=True)
class _Wish:
    """One model that the active profile serves."""

    spec: Spec
    model: Model
    settings: ModelProfile
    profile: ProfileName
    facts: Facts


def _unit(wish: _Wish) -> DesiredUnit:
    """With `rollout: surge`, each configuration has a name and a socket of its own, so that two may run."""
    name = unit_name(wish.model.id, wish.profile)
    places = wish.facts.places
    if wish.model.rollout == "recreate":
        return _named(name, _endpoint(name, wish.settings, places), wish)
    shape = _named(name, socket_of(name, places), wish)
    mark = shape.definition.config_hash.rpartition(":")[2][:_MARK_LENGTH]
    name = unit_name(wish.model.id, wish.profile, mark)
    return _named(name, socket_of(name, places), wish)


def _named(name: UnitName, endpoint: Endpoint, wish: _Wish) -> DesiredUnit:
    spec, model, settings, profile, facts = wish.spec, wish.model, wish.settings, wish.profile, wish.facts
    files = artifact_paths(facts.places, model.model_id, model.current)
    layout = facts.placements.layouts[unit_name(model.id, profile)]
    parallel = settings.parallel or model.parallel
    blocked: tuple[str, str | None] | None = None
    try:
        flags = compile_flags(
            RuntimeSettings(
                model=files.model,
                endpoint=endpoint,
                aliases=(model.id,),
                context_tokens=settings.context_tokens or model.context_tokens,
                parallel=parallel,
                placement=layout.flags,
                mmproj=files.mmproj,
                loras=tuple(LoraFile(path, scale) for path, scale in files.loras),
                draft=files.draft,
                embedding=model.embedding,
                flags={**layout.settings, **model_flags(model, settings)},
            ),
            facts.engine,
        )
    except EngineError as error:
        flags, blocked = (), (error.what, error.hint)
    definition = UnitDefinition(
        name=name,
        description=f"{model.display_name or model.id} under profile {profile} (modelctl)",
        argv=(*facts.engine.command_for(endpoint), *flags),
        environment=_environment(model, layout.environment, facts.places),
        working_directory=facts.places.state,
        log_path=None if facts.journal else f"{facts.places.logs}/{name}.log",
        memory_limit=model.memory_limit,
        read_paths=(facts.places.store,),
        write_paths=(facts.places.sockets,),
        gpu=GpuAccess.NVIDIA if layout.visible else GpuAccess.NONE,
        loopback=isinstance(endpoint, TcpEndpoint),
        user=facts.user,
        peers=layout.peers,
    )
    return DesiredUnit(
        definition=definition,
        model=model.model_id,
        version=VersionId(model.current_version),
        profile=profile,
        endpoint=endpoint,
        embedding=model.embedding,
        ready_seconds=model.ready_timeout or spec.settings.ready_timeout,
        needs=(link_id(model.model_id, VersionId(model.current_version)),),
        blocked=layout.blocked or blocked or _too_long(endpoint),
        takes=layout.takes or None,
    )


def _environment(
    model: Model, layout: tuple[tuple[str, str], ...], places: Places
) -> tuple[tuple[str, str], ...]:
    """Version and hashes belong to the configuration: new bytes under an old name restart the unit."""
    current = model.current
    companions = (current.mmproj, *current.loras, current.draft)
    hashes = (*current.hashes, *(file.sha256 for file in companions if file is not None and file.sha256))
    return (
        *layout,
        # llama-server reads a config.ini there before its flags: what a unit does stands in its unit alone.
        ("XDG_CONFIG_HOME", f"{places.state}/no-config"),
        ("MODELCTL_MODEL", model.id),
        ("MODELCTL_VERSION", model.current_version),
        ("MODELCTL_SHA256", ",".join(hashes)),
    )


def _endpoint(name: UnitName, settings: ModelProfile, places: Places) -> Endpoint:
    if settings.port is not None:
        return TcpEndpoint(_LOOPBACK, settings.port)
    return socket_of(name, places)


def socket_of(name: UnitName, places: Places) -> SocketEndpoint:
    """Where a runtime of this name listens, unless the spec gives it a port of its own."""
    return SocketEndpoint(f"{places.sockets}/{name.removeprefix('llama@')}.sock")


def _too_long(endpoint: Endpoint) -> tuple[str, str | None] | None:
    if isinstance(endpoint, TcpEndpoint) or len(endpoint.path.encode()) <= MAXIMUM_SOCKET_PATH:
        return None
    return (
        f"the path of its socket is longer than {MAXIMUM_SOCKET_PATH} bytes: {endpoint.path}",
        "give it a port, or choose a shorter settings.store",
    )


def model_flags(model: Model, settings: ModelProfile) -> dict[str, Any]:
    """The flags that the spec gives a runtime: what a setting stands for, the model's, the profile's."""
    kind = settings.kv_cache_type or model.kv_cache_type
    cache = {} if kind is None else {"cache-type-k": kind, "cache-type-v": kind}
    return {**cache, **model.flags, **settings.flags}
