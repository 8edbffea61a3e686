"""The one planner: from what is wanted and what was seen to a plan. Pure.

`plan`, `diff`, `apply`, `watch`, `promote` and `rollback` all come through here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Operation, Verb, When, ids_of, known, operation_id
from reconciler.core.plan import Plan, Refusal, Revision
from reconciler.core.routes import Route
from reconciler.core.types import Bytes, ModelId, ProfileName, UnitName
from reconciler.core.units import UnitDefinition
from reconciler.kinds.artifact.plan import ArtifactPlan
from reconciler.kinds.route.plan import KIND as ROUTE
from reconciler.kinds.route.plan import barred, plan_end, plan_launch, plan_unroute
from reconciler.kinds.route.types import GatewayUnit
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.plan import KIND as UNIT
from reconciler.kinds.unit.plan import UnitPlan, plan_units
from reconciler.kinds.unit.removal import Removal, plan_marks, plan_removals
from reconciler.kinds.unit.render import render
from reconciler.kinds.unit.types import DesiredUnit
from reconciler.reconcile.ports import port_moves, stuck
from reconciler.reconcile.prune import Left, guard, surplus
from reconciler.reconcile.rollout import Rollout, plan_rollout
from reconciler.reconcile.scene import Scene
from reconciler.reconcile.stand_in import cast, doubt
from reconciler.reconcile.way_back import watch_room
from reconciler.reconcile.world import World
from reconciler.spec.model import Spec

_DROPPED = "no longer in the spec"


@dataclass(frozen=True, slots=True)
class Desired:
    """The spec, compiled for this machine and the active profile."""

    spec: Spec
    revision: Revision
    profile: ProfileName
    units: tuple[DesiredUnit, ...]
    placements: tuple[Operation, ...] = ()
    """Files of overrides-cache that are to be written."""
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    routes: Mapping[UnitName, Route] = field(default_factory=dict)
    """Of the units whose model is behind the gateway."""
    room: Mapping[str, Bytes] = field(default_factory=dict)
    """Memory that is free now, by device and of `ram`."""
    gateway: UnitDefinition | None = None
    """Its unit, should anything go through it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for beside the spec."""

    prune: bool = False
    prune_limit: int | None = None
    only: frozenset[ModelId] = frozenset()
    """Empty: everything."""
    without: frozenset[ModelId] = frozenset()
    """Left alone, whatever the spec says: what is suspended, and what waits after a failure."""
    keep: frozenset[ModelId] = frozenset()
    """Of those, who go on as they were brought back: what ends, or is changed by hand, is mended."""
    resume: frozenset[ModelId] = frozenset()
    """Started again, although a person stopped them."""

    def covers(self, model: ModelId) -> bool:
        return model not in self.without and (not self.only or model in self.only)


@dataclass(frozen=True, slots=True)
class Commit:
    """Payload of the operation that records a generation."""

    revision: str | None
    dirty: bool
    profile: str
    without: tuple[UnitName, ...]
    """Units that are about to be removed."""
    replaced: tuple[tuple[UnitName, UnitName], ...] = ()
    """Old and new: the old are about to be removed where the new have become ready."""


def make_plan(desired: Desired, artifacts: ArtifactPlan, world: World, request: Request) -> Plan:
    """Order: artifacts, placements, unit files, one reload, starts, checks, the generation, removals."""
    chosen = cast(desired.units, desired.routes, world.units, world.gateway, request.covers)
    desired = replace(desired, units=chosen.units, routes=chosen.routes)
    world = replace(world, units=doubt(world.units, chosen.doubted))
    covered = [unit for unit in desired.units if request.covers(unit.model)]
    routes = {unit.name: desired.routes[unit.name] for unit in covered if unit.name in desired.routes}
    unreachable = barred(routes, world.gateway)
    fetched = ids_of(artifacts.operations)
    wanted = [
        replace(
            unit,
            needs=known(unit.needs, fetched),
            blocked=unit.blocked or artifacts.blocked.get(unit.model) or unreachable.get(unit.name),
        )
        for unit in covered
    ]
    routes = {name: route for name, route in routes.items() if name not in unreachable}
    surplus = _surplus(desired, world, request)
    keep = tuple(_kept(desired, world, request))
    wanted, units, ports = _units(wanted, world, request, surplus, keep)
    launch = _launch(desired, world, routes, units)
    scene = Scene(
        wanted,
        surplus.left,
        units,
        world,
        routes,
        desired.room,
        desired.spec.settings.drain_timeout,
        launched=tuple(operation.id for operation in launch),
        ports=ports,
    )
    rollout = plan_rollout(scene)
    if rollout.handovers:
        units = plan_units(wanted, world.units, resume=request.resume, handovers=rollout.handovers, keep=keep)
    placements = _placements(desired, artifacts, request)
    steps = watch_room(
        (
            *artifacts.operations,
            *placements,
            *units.files,
            *launch,
            *rollout.before,
            *units.starts,
            *rollout.after,
            *rollout.marks,
        )
    )
    end = _end(desired, world, steps, rollout, surplus)
    told = {refusal.resource for refusal in units.refused}
    blamed = {unit.model for unit in wanted if unit.name in told}
    untold = (
        *(Refusal(model, *reason) for model, reason in artifacts.blocked.items() if model not in blamed),
        *(Refusal(name, *reason) for name, reason in unreachable.items() if name not in told),
    )
    return Plan(
        revision=desired.revision,
        generation=world.units.generation - 1,
        profile=desired.profile,
        operations=(*steps, *end),
        refused=(*desired.refused, *untold, *units.refused, *surplus.refused),
        warnings=(*desired.warnings, *units.warnings, *surplus.warnings),
        kept=surplus.kept,
        whole=not (request.only or request.without),
    )


def _launch(
    desired: Desired, world: World, routes: Mapping[UnitName, Route], units: UnitPlan
) -> tuple[Operation, ...]:
    """The gateway's unit, where anything goes through it."""
    if desired.gateway is None or not (routes or world.gateway.in_force):
        return ()
    definition, seen = desired.gateway, world.units
    ownership = Ownership(seen.owner, seen.generation, definition.config_hash)
    launched = known([operation_id(UNIT, Verb.LAUNCH, str(seen.supervisor))], ids_of(units.files))
    if world.gateway.installed == definition.config_hash and world.gateway.up:
        return ()
    text = render(definition, ownership, seen.supervisor, seen.template).text
    launch = plan_launch(GatewayUnit(text, definition.config_hash), world.gateway, after=launched)
    return () if launch is None else (launch,)


@dataclass(frozen=True, slots=True)
class _Surplus:
    """What is owned and not wanted: what gives way to a runtime of its model, what goes, and what to say."""

    left: tuple[Left, ...]
    pruned: tuple[OwnedUnit, ...] = ()
    refused: tuple[Refusal, ...] = ()
    kept: tuple[UnitName, ...] = ()
    warnings: tuple[str, ...] = ()


def _surplus(desired: Desired, world: World, request: Request) -> _Surplus:
    owned = [unit for unit in world.units.owned.values() if request.covers(unit.model)]
    found = surplus(owned, (unit.name for unit in desired.units), desired.spec, desired.profile)
    if not found.orphaned:
        return _Surplus(found.replaced)
    if not request.prune:
        names = ", ".join(found.orphaned)
        return _Surplus(
            found.replaced,
            kept=found.orphaned,
            warnings=(f"no longer in the spec, and kept: {names}; remove with `modelctl apply --prune`",),
        )
    refusal = guard(found.orphaned, len(world.units.owned), desired.spec, request.prune_limit)
    if refusal is not None:
        return _Surplus(found.replaced, refused=(refusal,), kept=found.orphaned)
    return _Surplus(found.replaced, tuple(world.units.owned[name] for name in found.orphaned))


def _kept(desired: Desired, world: World, request: Request) -> Iterator[tuple[OwnedUnit, DesiredUnit]]:
    """Who served the models to keep before a change of theirs failed, and what is wanted instead."""
    wanted = {(unit.model, unit.profile): unit for unit in desired.units if unit.model in request.keep}
    for unit in world.units.owned.values():
        like = wanted.get((unit.model, unit.profile))
        serves = unit.model not in world.gateway.in_force or world.gateway.sends_to(unit)
        if like is not None and serves and unit.answered and unit.retired_at is None:
            yield unit, like


def _units(
    wanted: list[DesiredUnit],
    world: World,
    request: Request,
    surplus: _Surplus,
    keep: Sequence[tuple[OwnedUnit, DesiredUnit]],
) -> tuple[list[DesiredUnit], UnitPlan, dict[UnitName, UnitName]]:
    """What units need by themselves; those whose port stays with another are refused, and named as such."""
    while True:
        units = plan_units(wanted, world.units, resume=request.resume, keep=keep)
        ports = port_moves(wanted, world.units, units)
        leaving = [*(left.unit for left in surplus.left), *surplus.pruned]
        refused = stuck(ports, wanted, units, leaving, surplus.kept) if ports else {}
        if not refused:
            return wanted, units, ports
        wanted = [replace(unit, blocked=unit.blocked or refused.get(unit.name)) for unit in wanted]


def _end(
    desired: Desired, world: World, steps: Sequence[Operation], rollout: Rollout, surplus: _Surplus
) -> tuple[Operation, ...]:
    """The generation, and what goes after it."""
    if not (steps or rollout.removals or rollout.drains or rollout.unrouted or surplus.pruned):
        return _gateway_end(desired, world, (), ())
    going = {removal.unit.name for removal in rollout.removals}
    pruned = {unit.name for unit in surplus.pruned}
    commit = Operation(
        Verb.COMMIT,
        "generation",
        str(world.units.generation),
        "what was reached is recorded",
        depends_on=tuple(operation.id for operation in steps),
        when=When.DONE,
        payload=Commit(
            desired.revision.commit,
            desired.revision.dirty,
            desired.profile,
            without=(*sorted(pruned), *sorted(going - set(rollout.successors))),
            replaced=tuple((old, new) for old, new in sorted(rollout.successors.items()) if old in going),
        ),
    )
    after = (commit.id,)
    dropped = {unit.model for unit in surplus.pruned} & set(world.gateway.in_force)
    unrouted = {**dict.fromkeys(sorted(dropped), _DROPPED), **dict(rollout.unrouted)}
    unroutes = [plan_unroute(model, cause, after=after) for model, cause in unrouted.items()]
    closed = (*after, *(operation.id for operation in unroutes))
    removals = [
        *(replace(removal, after=(*removal.after, *closed)) for removal in rollout.removals),
        *(Removal(unit, _DROPPED, closed) for unit in surplus.pruned),
    ]
    stopped = {operation.id for operation in steps if operation.verb is Verb.STOP}
    launched = any(operation.verb is Verb.LAUNCH for operation in steps)
    gone = plan_removals(removals, world.units, stopped=stopped, launched=launched)
    drains = plan_marks(Verb.DRAIN, rollout.drains, after=closed)
    return (commit, *unroutes, *drains, *gone, *_gateway_end(desired, world, (*steps, *unroutes), closed))


def _gateway_end(
    desired: Desired, world: World, steps: Sequence[Operation], after: tuple[str, ...]
) -> tuple[Operation, ...]:
    """Its unit goes with the last route, or later where an apply was killed in between.

    A route whose model does not come up without it is put back, so the gateway waits for that.
    """
    changes = [step for step in steps if step.kind == ROUTE]
    closed = {step.resource for step in changes if step.verb is Verb.REMOVE}
    opened = {step.resource for step in changes if step.verb in {Verb.ROUTE, Verb.HOLD}}
    if desired.routes or opened or set(world.gateway.in_force) - closed:
        return ()
    proofs = [
        step.id
        for step in steps
        if step.kind == UNIT and step.verb is Verb.CHECK and step.payload.unit.model in closed
    ]
    end = plan_end(world.gateway, after=(*after, *proofs))
    return () if end is None else (end,)


def _placements(desired: Desired, artifacts: ArtifactPlan, request: Request) -> tuple[Operation, ...]:
    """A placement is kept once the files that it was reckoned from are verified."""
    steps = ids_of(artifacts.operations)
    return tuple(
        replace(operation, depends_on=known(operation.depends_on, steps))
        for operation in desired.placements
        if request.covers(operation.payload.model)
    )
