"""The reason for a gateway: runtimes change and no request notices."""

from contextlib import ExitStack

import pytest

from reconciler.core.engine import Engine
from reconciler.demo.tiny_model import tiny_model
from reconciler.host.health import Health, look
from tests.gateway.load import repeatedly, steady_load
from tests.gateway.process import Gateway
from tests.support.serving import Served, served
from tests.support.waiting import wait_until

WORDS = ("I am one.", "I am two.")


def serve(stack: ExitStack, gateway: Gateway, engine: Engine, name: str, words: str) -> Served:
    """A tiny runtime on a socket, which says `words`."""
    model = gateway.folder / f"{name}.gguf"
    model.write_bytes(tiny_model(words))
    path = gateway.folder / f"{name}.sock"
    return stack.enter_context(served(engine, model, socket_path=path, parallel=4))


@pytest.mark.slow
def test_no_request_is_lost_when_its_route_switches(gateway: Gateway, engine: Engine) -> None:
    with ExitStack() as stack:
        runtimes = [
            serve(stack, gateway, engine, f"runtime-{number}", words) for number, words in enumerate(WORDS)
        ]
        gateway.route(runtimes[0].endpoint)
        end = repeatedly(lambda turn: gateway.route(runtimes[turn % 2].endpoint), every=0.2)
        outcome = steady_load(gateway.port, per_second=50, seconds=4)
        assert end() >= 10
    assert outcome.failures == []
    assert outcome.answers.total() == 200
    assert set(outcome.answers) == set(WORDS)


@pytest.mark.slow
def test_runtimes_replace_each_other_and_no_request_is_lost(gateway: Gateway, engine: Engine) -> None:
    """As a surge does it: the new one gets ready, takes over, and the old one ends when it is idle."""
    with ExitStack() as stack:
        runtimes = [serve(stack, gateway, engine, "first", WORDS[0])]
        gateway.route(runtimes[0].endpoint)

        def replace(turn: int) -> None:
            with ExitStack() as former:
                former.callback(retire, gateway, runtimes[-1])
                runtimes.append(serve(stack, gateway, engine, f"next-{turn}", WORDS[turn % 2]))
                gateway.route(runtimes[-1].endpoint)

        end = repeatedly(replace, every=0.1)
        outcome = steady_load(gateway.port, per_second=50, seconds=4)
        assert end() >= 3
    assert outcome.failures == []
    assert set(outcome.answers) == set(WORDS)


def retire(gateway: Gateway, runtime: Served) -> None:
    """End a runtime that has no route any more, once it has answered everything."""
    wait_until(lambda: gateway.status().backends[str(runtime.endpoint)].requests == 0)
    runtime.process.terminate()
    runtime.process.wait(20)


@pytest.mark.slow
def test_a_runtime_that_stops_and_starts_again_costs_waiting_only(gateway: Gateway, engine: Engine) -> None:
    """As a recreate does it: the route is held, the runtime is drained and replaced on the same socket."""
    with ExitStack() as stack:
        runtime = serve(stack, gateway, engine, "only", WORDS[0])
        gateway.route(runtime.endpoint)

        def recreate(turn: int) -> None:
            nonlocal runtime
            gateway.route(None)
            retire(gateway, runtime)
            (gateway.folder / "only.sock").unlink(missing_ok=True)
            runtime = serve(stack, gateway, engine, "only", WORDS[turn % 2])
            assert look(runtime.endpoint) is Health.READY
            gateway.route(runtime.endpoint)

        end = repeatedly(recreate, every=0.3)
        outcome = steady_load(gateway.port, per_second=50, seconds=4)
        assert end() >= 3
    assert outcome.failures == []
    assert set(outcome.answers) == set(WORDS)


def test_the_load_notices_a_failure(gateway: Gateway) -> None:
    gateway.route(None, hold_seconds=0)
    outcome = steady_load(gateway.port, per_second=50, seconds=0.2)
    assert len(outcome.failures) == outcome.requests == 10
