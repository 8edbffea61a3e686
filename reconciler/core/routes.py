"""Which runtime answers for which model: what the gateway is told, and what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.endpoint import Endpoint, parse_endpoint
from reconciler.core.types import ModelId

SNAPSHOT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Route:
    """One model behind the gateway."""

    model: ModelId
    ports: tuple[int, ...]
    """Loopback ports on which the gateway takes its requests."""
    backend: Endpoint | None
    """The runtime that answers. None: requests wait until there is one."""
    hold_seconds: float
    """How long a request waits for a backend before it is turned away with 503."""

    def document(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "ports": list(self.ports),
            "backend": None if self.backend is None else str(self.backend),
            "hold_seconds": self.hold_seconds,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the gateway needs; written as one file, always whole."""

    routes: Mapping[ModelId, Route]

    def document(self) -> dict[str, Any]:
        return {
            "format_version": SNAPSHOT_FORMAT,
            "routes": [route.document() for route in self.routes.values()],
        }


@dataclass(frozen=True, slots=True)
class BackendUse:
    """How much a runtime is used, as the gateway sees it."""

    requests: int
    """Being answered now."""
    idle_seconds: float
    """Since the last request ended, or since the gateway first heard of it; 0 while there are requests."""


def parse_snapshot(document: Any) -> Snapshot:
    """Read what `Snapshot.document` gives; ValueError for anything else."""
    try:
        if document["format_version"] != SNAPSHOT_FORMAT:
            raise ValueError(f"format_version {document['format_version']!r} is not {SNAPSHOT_FORMAT}")
        routes = [_route(entry) for entry in document["routes"]]
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"no snapshot of routes: {error!r}") from error
    return Snapshot({route.model: route for route in routes})


def _route(entry: Mapping[str, Any]) -> Route:
    backend = entry["backend"]
    return Route(
        model=ModelId(entry["model"]),
        ports=tuple(int(port) for port in entry["ports"]),
        backend=None if backend is None else parse_endpoint(backend),
        hold_seconds=float(entry["hold_seconds"]),
    )
