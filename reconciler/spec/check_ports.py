"""Ports that nothing else may listen on."""

from collections.abc import Iterator

from reconciler.spec.addresses import parse_listen
from reconciler.spec.faults import Fault, Path
from reconciler.spec.model import Spec

_HIGHEST = 65535


def check_ports(spec: Spec) -> Iterator[Fault]:
    """Each port has one listener, over all profiles: while the active one changes, runtimes of both run.

    Only where the gateway holds a model's ports may profiles of that model share one. A model's port may lie
    in the pool's range; the pool leaves it out. The gateway's may not, since whoever moves the range sees no
    other sign of it.
    """
    seen: dict[int, tuple[str, Path]] = {}
    for port, owner, path in _listeners(spec):
        taken_by, first = seen.setdefault(port, (owner, path))
        if first != path and not _held_by_gateway(spec, first, path):
            yield Fault(
                path, f"{owner}: port {port} is taken by {taken_by}", "choose another port", other=first
            )
    yield from _check_pool(spec)


def _listeners(spec: Spec) -> Iterator[tuple[int, str, Path]]:
    gateway = spec.settings.gateway
    for key, text in (("listen", gateway.listen), ("ollama_listen", gateway.ollama_listen)):
        if text is not None:
            yield parse_listen(text).port, f"`settings.gateway.{key}`", ("settings", "gateway", key)
    for index, model in enumerate(spec.models):
        for profile, settings in model.profiles.items():
            if settings is not None and settings.port is not None:
                owner = f"model `{model.id}` under profile `{profile}`"
                yield settings.port, owner, ("models", index, "profiles", profile, "port")


def _held_by_gateway(spec: Spec, first: Path, path: Path) -> bool:
    """Whether both places are profiles of one model with `rollout: surge`."""
    same = first[:2] == path[:2] and path[0] == "models"
    return same and spec.models[int(path[1])].rollout == "surge"


def _check_pool(spec: Spec) -> Iterator[Fault]:
    pool, gateway = spec.settings.pool, spec.settings.gateway
    path: Path = ("settings", "pool", "ports")
    ports = pool.port_range
    if not ports or ports.start < 1 or ports.stop - 1 > _HIGHEST:
        yield Fault(
            path,
            f"`settings.pool.ports`: {pool.ports} is no range",
            "write the lower port first, as in 8601-8699",
        )
        return
    for key, text in (("listen", gateway.listen), ("ollama_listen", gateway.ollama_listen)):
        port = parse_listen(text).port if text is not None else None
        if port in ports:
            yield Fault(
                ("settings", "gateway", key),
                f"`settings.gateway.{key}`: port {port} lies in the pool's range {pool.ports}",
                "choose another port, or move the range",
                other=path,
            )
