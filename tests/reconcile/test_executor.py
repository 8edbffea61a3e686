"""The executor runs a graph: order, isolation, batches, and steps for when something failed."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import GivenUpError, ModelctlError
from reconciler.core.operations import Operation, Verb, When
from reconciler.reconcile.executor import Listener, Outcome, Report, Result, execute


def step(name: str, *needs: str, verb: Verb = Verb.START, when: When = When.SUCCESS) -> Operation:
    depends = tuple(f"unit:{need}" if ":" in need else f"unit:{verb}:{need}" for need in needs)
    return Operation(verb, "unit", name, "a test", depends_on=depends, when=when)


class Recorder(Listener):
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.ended_order: list[str] = []

    def began(self, operations: Sequence[Operation]) -> None:
        self.batches.append([operation.resource for operation in operations])

    def ended(self, result: Result) -> None:
        self.ended_order.append(result.operation.resource)


def failing(*names: str):
    def handle(batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            report(operation, ModelctlError("broken") if operation.resource in names else None)

    return handle


def outcomes(operations: Sequence[Operation], *bad: str) -> dict[str, Outcome]:
    handlers = {("unit", verb): failing(*bad) for verb in Verb}
    return {result.operation.resource: result.outcome for result in execute(operations, handlers).values()}


def test_a_failure_stops_only_what_depends_on_it() -> None:
    found = outcomes([step("a"), step("b", "a"), step("c", "b"), step("d")], "a")
    assert found == {"a": "failed", "b": "skipped", "c": "skipped", "d": "done"}


def test_a_failure_step_runs_only_after_a_failure() -> None:
    back = step("back", "a", when=When.FAILURE)
    assert outcomes([step("a"), back], "a")["back"] is Outcome.DONE
    assert outcomes([step("a"), back])["back"] is Outcome.SKIPPED


def test_a_failure_step_does_not_run_when_its_dependency_was_only_skipped() -> None:
    found = outcomes([step("pull"), step("a", "pull"), step("back", "a", when=When.FAILURE)], "pull")
    assert found["back"] is Outcome.SKIPPED


def test_a_step_for_when_all_is_done_runs_after_failures() -> None:
    found = outcomes([step("a"), step("b"), step("commit", "a", "b", when=When.DONE)], "a")
    assert found["commit"] is Outcome.DONE


def test_steps_that_are_ready_together_are_one_batch() -> None:
    recorder = Recorder()
    execute([step("a"), step("b"), step("c", "a")], {("unit", Verb.START): failing()}, [recorder])
    assert recorder.batches == [["a", "b"], ["c"]]


def test_a_slow_step_does_not_hold_up_an_independent_chain() -> None:
    released = threading.Event()

    def slow(batch: Sequence[Operation], report: Report) -> None:
        assert released.wait(10), "the fast chain never finished beside the slow step"
        for operation in batch:
            report(operation, None)

    def fast(batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            report(operation, None)
            if operation.resource == "last":
                released.set()

    operations = [step("slow", verb=Verb.PULL), step("first"), step("last", "first")]
    results = execute(operations, {("unit", Verb.PULL): slow, ("unit", Verb.START): fast})
    assert {result.outcome for result in results.values()} == {Outcome.DONE}


def test_a_handler_that_raises_fails_the_operations_it_did_not_report() -> None:
    def half(batch: Sequence[Operation], report: Report) -> None:
        report(batch[0], None)
        raise OSError("the pipe broke")

    results = execute([step("a"), step("b")], {("unit", Verb.START): half})
    assert results["unit:start:a"].outcome is Outcome.DONE
    assert str(results["unit:start:b"].error) == "the pipe broke"


def test_a_handler_that_forgets_an_operation_fails_it() -> None:
    results = execute([step("a")], {("unit", Verb.START): lambda *_: None})
    assert results["unit:start:a"].outcome is Outcome.FAILED


def test_a_list_that_is_no_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="do not come before"):
        execute([step("b", "a"), step("a")], {("unit", Verb.START): failing()})


@given(st.lists(st.tuples(st.sets(st.integers(0, 11)), st.sampled_from(When), st.booleans()), max_size=12))
def test_every_operation_ends_once_and_after_its_dependencies(
    shapes: list[tuple[set[int], When, bool]],
) -> None:
    operations = [
        step(str(place), *(str(need) for need in sorted(needs) if need < place), when=when)
        for place, (needs, when, _) in enumerate(shapes)
    ]
    bad = {str(place) for place, (_, _, fails) in enumerate(shapes) if fails}
    recorder = Recorder()
    results = execute(operations, {("unit", Verb.START): failing(*bad)}, [recorder])
    assert sorted(recorder.ended_order) == sorted(operation.resource for operation in operations)
    for operation in operations:
        own = recorder.ended_order.index(operation.resource)
        if results[operation.id].outcome is not Outcome.SKIPPED:
            assert all(
                recorder.ended_order.index(results[needed].operation.resource) < own
                for needed in operation.depends_on
            )


def test_what_is_given_up_failed_nowhere() -> None:
    def give_up(batch: Sequence[Operation], report: Report) -> None:
        for operation in batch:
            report(operation, GivenUpError("later") if operation.resource == "pull" else None)

    graph = [step("pull"), step("a", "pull"), step("back", "a", when=When.FAILURE)]
    results = execute(graph, {("unit", verb): give_up for verb in Verb})
    assert {result.outcome for result in results.values()} == {Outcome.SKIPPED}


def test_listeners_are_heard_while_a_step_takes_long() -> None:
    class Impatient(Listener):
        def __init__(self) -> None:
            self.asked = threading.Event()

        def waiting(self) -> None:
            self.asked.set()

    listener = Impatient()

    def slow(batch: Sequence[Operation], report: Report) -> None:
        assert listener.asked.wait(10), "nobody asked"

    execute([step("a")], {("unit", Verb.START): slow}, [listener])
