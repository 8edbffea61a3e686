"""The steps by which the gateway comes to know who answers. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.core.routes import Route
from reconciler.core.types import ModelId, UnitName
from reconciler.kinds.route.types import (
    GATEWAY,
    SOMEBODY,
    GatewayUnit,
    RouteChange,
    RouteRelease,
    RouteRemoval,
    RouteWorld,
)

KIND = "route"


def barred(routes: Mapping[UnitName, Route], world: RouteWorld) -> dict[UnitName, tuple[str, str | None]]:
    """Why some of the routes cannot be, and what mends that."""
    if world.foreign is not None:
        whose = "somebody else" if world.foreign == SOMEBODY else f"another modelctl ({world.foreign})"
        reason = f"a unit called {GATEWAY} belongs to {whose}"
        return dict.fromkeys(routes, (reason, "remove that unit first, or write rollout: recreate"))
    return {
        name: (
            f"port {taken[0]}, which the gateway is to hold, is in use by {world.held[taken[0]]}",
            "stop that program, or give the model another port in the spec",
        )
        for name, route in routes.items()
        if (taken := [port for port in route.ports if port in world.held])
    }


def plan_launch(wanted: GatewayUnit, world: RouteWorld, *, after: tuple[str, ...]) -> Operation | None:
    """Install and start the gateway, where it is not there as wanted; None where it is, or cannot be."""
    if world.foreign is not None:
        return None
    if world.installed is None:
        cause = "not installed"
    elif world.installed != wanted.config_hash:
        cause = "its settings changed"
    elif not world.up:
        cause = "it does not answer"
    else:
        return None
    return Operation(Verb.LAUNCH, KIND, GATEWAY, cause, depends_on=after, when=When.DONE, payload=wanted)


def plan_end(world: RouteWorld, *, after: tuple[str, ...]) -> Operation | None:
    """Remove the gateway when nothing goes through it any more; None where there is none of ours."""
    if world.installed is None or world.foreign is not None:
        return None
    cause = "nothing goes through it any more"
    return Operation(Verb.REMOVE, KIND, GATEWAY, cause, depends_on=after, destructive=True)


def plan_hold(route: Route, cause: str, *, after: tuple[str, ...]) -> Operation:
    """Let the model's requests wait."""
    payload = RouteChange(replace(route, backend=None))
    return Operation(Verb.HOLD, KIND, route.model, cause, depends_on=after, payload=payload)


def plan_route(route: Route, cause: str, *, after: tuple[str, ...]) -> Operation:
    """Send the model's requests to a runtime that is ready."""
    return Operation(Verb.ROUTE, KIND, route.model, cause, depends_on=after, payload=RouteChange(route))


def plan_return(route: Route, *, after: tuple[str, ...]) -> Operation:
    """Send them to the runtime that was brought back; `after` is what brings it back."""
    cause = "only if that fails: requests go to what serves again"
    return Operation(Verb.RESTORE, KIND, route.model, cause, depends_on=after, payload=RouteChange(route))


def plan_release(model: ModelId, *, after: tuple[str, ...]) -> Operation:
    """Turn away who waits for it; `after` is all that was to give them a runtime, or to bring one back."""
    cause = "only if that fails: who waits is told to come back later"
    return Operation(
        Verb.RELEASE, KIND, model, cause, depends_on=after, when=When.FAILURE, payload=RouteRelease(model)
    )


def plan_unroute(
    model: ModelId, cause: str, *, after: tuple[str, ...], when: When = When.SUCCESS
) -> Operation:
    """Take requests for the model no more, and give its ports free."""
    return Operation(
        Verb.REMOVE, KIND, model, cause, depends_on=after, when=when, payload=RouteRemoval(model)
    )


def route_id(verb: Verb, model: ModelId) -> str:
    return operation_id(KIND, verb, model)
