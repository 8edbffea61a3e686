"""The steps by which the gateway comes to know who answers. Pure."""

from dataclasses import replace

from reconciler.core.operations import Operation, Verb, When, operation_id
from reconciler.core.routes import Route
from reconciler.core.types import ModelId
from reconciler.kinds.route.types import GATEWAY, GatewayUnit, RouteChange, RouteRemoval, RouteWorld

KIND = "route"


def plan_launch(wanted: GatewayUnit, world: RouteWorld, *, after: tuple[str, ...]) -> Operation | None:
    """Install and start the gateway, where it is not there as wanted; None where it is."""
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


def plan_unroute(
    model: ModelId, cause: str, *, after: tuple[str, ...], when: When = When.SUCCESS
) -> Operation:
    """Take requests for the model no more, and give its ports free."""
    return Operation(
        Verb.REMOVE, KIND, model, cause, depends_on=after, when=when, payload=RouteRemoval(model)
    )


def route_id(verb: Verb, model: ModelId) -> str:
    return operation_id(KIND, verb, model)
