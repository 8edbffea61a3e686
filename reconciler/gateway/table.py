"""Which backend a model has now, who uses it, and who waits for one."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from reconciler.core.endpoint import Endpoint
from reconciler.core.routes import BackendUse, Route, Snapshot
from reconciler.core.types import ModelId

WAITING_LIMIT = 1_000
"""Requests that wait at once. Each holds a connection and its head; past this, waiting helps nobody."""
_KEPT_IDLE_SECONDS = 3600.0
"""How long a backend without a route is still told about: whoever drains it must see its last request end."""
_HIGHEST_PORT = 65_535


class TimeIsUpError(Exception):
    """A request waited as long as its route lets it."""


class CrowdedError(Exception):
    """Too many requests wait already."""


class EndingError(Exception):
    """The gateway ends: nobody will change a route any more."""


@dataclass(slots=True)
class _Use:
    requests: int
    ended: float
    """Clock when the last request ended, or when it was first routed."""


class Table:
    """The routes in force, for one event loop: a swap is one step of it, so nobody sees half of one.

    `clock` gives seconds and never goes back.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, waiting_limit: int = WAITING_LIMIT
    ) -> None:
        self._clock = clock
        self._waiting_limit = waiting_limit
        self._waiting = 0
        self._ending = False
        self._snapshot = Snapshot({})
        self._models: Mapping[int, ModelId] = {}
        self._uses: dict[Endpoint, _Use] = {}
        self._released: frozenset[ModelId] = frozenset()
        self._changed = asyncio.Event()

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def ports(self) -> frozenset[int]:
        return frozenset(self._models)

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def released(self) -> frozenset[ModelId]:
        """Models without a backend that nobody is to wait for."""
        return self._released

    def swap(self, snapshot: Snapshot) -> None:
        """Put new routes in force; who waits looks again.

        Raises ValueError and changes nothing when two models want one port, or a port cannot be one.
        """
        self._models = _models_by_port(snapshot)
        before, self._snapshot = self._snapshot.routes, snapshot
        self._released = frozenset(
            model for model in self._released if snapshot.routes.get(model) == before.get(model)
        )
        for endpoint in self._routed():
            self._uses.setdefault(endpoint, _Use(0, self._clock()))
        self._forget_unrouted()
        self._wake()

    def release(self, models: Iterable[ModelId]) -> None:
        """Turn away who waits for these, now and until their routes change; not for one with a backend."""
        waiting = {model for model, route in self._snapshot.routes.items() if route.backend is None}
        self._released |= waiting.intersection(models)
        self._wake()

    def end(self) -> None:
        """Turn away who waits, now and from now on."""
        self._ending = True
        self._wake()

    def model_on(self, port: int) -> ModelId | None:
        return self._models.get(port)

    def route(self, model: ModelId) -> Route | None:
        return self._snapshot.routes.get(model)

    @contextmanager
    def use(self, endpoint: Endpoint) -> Iterator[None]:
        """Count a request at a backend for the length of the block."""
        use = self._uses.setdefault(endpoint, _Use(0, self._clock()))
        use.requests += 1
        try:
            yield
        finally:
            use.requests -= 1
            use.ended = self._clock()

    def uses(self) -> dict[Endpoint, BackendUse]:
        """Every backend that is routed, or was not long ago."""
        self._forget_unrouted()
        now = self._clock()
        return {
            endpoint: BackendUse(use.requests, 0.0 if use.requests else now - use.ended)
            for endpoint, use in self._uses.items()
        }

    async def wait(self, until: float, at_most: float | None = None) -> None:
        """Wait until routes change, for `at_most` seconds, and never past `until` on the clock.

        Raises TimeIsUpError when `until` is past already, CrowdedError and EndingError.
        """
        if self._ending:
            raise EndingError
        left = until - self._clock()
        if left <= 0:
            raise TimeIsUpError
        if self._waiting >= self._waiting_limit:
            raise CrowdedError
        self._waiting += 1
        changed = self._changed
        try:
            async with asyncio.timeout(left if at_most is None else min(left, at_most)):
                await changed.wait()
        except TimeoutError:
            pass  # who waits looks again, and comes back when there is time left
        finally:
            self._waiting -= 1

    def deadline(self, seconds: float) -> float:
        """The clock `seconds` from now."""
        return self._clock() + seconds

    def left(self, until: float) -> float:
        """Seconds from now until the clock shows `until`."""
        return until - self._clock()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _routed(self) -> set[Endpoint]:
        routes = self._snapshot.routes.values()
        return {route.backend for route in routes if route.backend is not None}

    def _forget_unrouted(self) -> None:
        before, routed = self._clock() - _KEPT_IDLE_SECONDS, self._routed()
        for endpoint, use in tuple(self._uses.items()):
            if endpoint not in routed and not use.requests and use.ended < before:
                del self._uses[endpoint]


def _models_by_port(snapshot: Snapshot) -> dict[int, ModelId]:
    models: dict[int, ModelId] = {}
    for route in snapshot.routes.values():
        for port in route.ports:
            if not 0 < port <= _HIGHEST_PORT:
                raise ValueError(f"{route.model} wants port {port}, which is none")
            other = models.setdefault(port, route.model)
            if other != route.model:
                raise ValueError(f"{other} and {route.model} both want port {port}")
    return models
