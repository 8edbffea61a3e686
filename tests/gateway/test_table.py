import asyncio
from dataclasses import dataclass

import pytest

from reconciler.core.endpoint import Endpoint, SocketEndpoint
from reconciler.core.routes import BackendUse, Route, Snapshot
from reconciler.core.types import ModelId
from reconciler.gateway.table import CrowdedError, EndingError, Table, TimeIsUpError

A, B = SocketEndpoint("/run/a.sock"), SocketEndpoint("/run/b.sock")
TINY = ModelId("tiny")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def routed(backend: Endpoint | None, *ports: int, model: str = "tiny") -> Route:
    return Route(ModelId(model), ports or (8601,), backend, 30.0)


def snapshot(*routes: Route) -> Snapshot:
    return Snapshot({route.model: route for route in routes})


def test_a_model_is_found_by_any_of_its_ports() -> None:
    table = Table()
    table.swap(snapshot(routed(A, 8601, 8602), routed(B, 8603, model="other")))
    assert table.model_on(8602) == "tiny"
    assert table.model_on(8603) == "other"
    assert table.model_on(8604) is None
    assert table.ports == {8601, 8602, 8603}


@pytest.mark.parametrize(
    ("routes", "reason"),
    [
        ((routed(A, 8601), routed(B, 8601, model="other")), "both want port 8601"),
        ((routed(A, 0),), "port 0, which is none"),
        ((routed(A, 65_536),), "port 65536, which is none"),
    ],
)
def test_impossible_routes_change_nothing(routes: tuple[Route, ...], reason: str) -> None:
    table = Table()
    table.swap(snapshot(routed(A)))
    with pytest.raises(ValueError, match=reason):
        table.swap(snapshot(*routes))
    assert table.snapshot == snapshot(routed(A))
    assert table.model_on(8601) == "tiny"


def test_a_backend_is_idle_since_its_last_request_ended() -> None:
    clock = Clock()
    table = Table(clock=clock)
    table.swap(snapshot(routed(A)))
    clock.now += 5
    assert table.uses() == {A: BackendUse(0, 5.0)}
    with table.use(A), table.use(A):
        clock.now += 5
        assert table.uses() == {A: BackendUse(2, 0.0)}
    clock.now += 1
    assert table.uses() == {A: BackendUse(0, 1.0)}


def test_a_backend_without_a_route_is_kept_while_used_and_for_an_hour() -> None:
    clock = Clock()
    table = Table(clock=clock)
    table.swap(snapshot(routed(A)))
    with table.use(A):
        table.swap(snapshot(routed(B)))
        clock.now += 7200
        assert table.uses()[A] == BackendUse(1, 0.0)
    clock.now += 3599
    assert A in table.uses()
    clock.now += 2
    assert table.uses().keys() == {B}


def test_a_routed_backend_is_never_forgotten() -> None:
    clock = Clock()
    table = Table(clock=clock)
    table.swap(snapshot(routed(A)))
    clock.now += 1_000_000
    assert table.uses() == {A: BackendUse(0, 1_000_000.0)}


def test_a_swap_wakes_who_waits() -> None:
    async def story() -> None:
        table = Table()
        waiting = [asyncio.create_task(table.wait(table.deadline(30))) for _ in range(3)]
        await asyncio.sleep(0)
        assert table.waiting == 3
        table.swap(snapshot(routed(A)))
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert table.waiting == 0

    asyncio.run(story())


def test_waiting_ends_with_its_time() -> None:
    async def story() -> None:
        table = Table()
        await table.wait(table.deadline(0.01))
        with pytest.raises(TimeIsUpError):
            await table.wait(table.deadline(0))
        await asyncio.wait_for(table.wait(table.deadline(30), at_most=0.01), 5)

    asyncio.run(story())


def test_only_so_many_wait() -> None:
    async def story() -> None:
        table = Table(waiting_limit=2)
        waiting = [asyncio.create_task(table.wait(table.deadline(30))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError):
            await table.wait(table.deadline(30))
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        await table.wait(table.deadline(30), at_most=0.01)
        waiting[1].cancel()

    asyncio.run(story())


def test_nobody_waits_in_a_gateway_that_ends() -> None:
    async def story() -> None:
        table = Table()
        waiting = asyncio.create_task(table.wait(table.deadline(30)))
        await asyncio.sleep(0)
        table.end()
        await asyncio.wait_for(waiting, 5)
        with pytest.raises(EndingError):
            await table.wait(table.deadline(30))

    asyncio.run(story())
