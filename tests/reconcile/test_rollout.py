"""How one runtime takes over from another: worlds on paper, plans as text."""

from dataclasses import replace

import pytest

from reconciler.core.plan import Plan, render
from reconciler.core.routes import BackendUse
from reconciler.core.types import ModelId, UnitName
from reconciler.core.units import UnitState
from reconciler.reconcile.plan import Request
from reconciler.reconcile.stand_in import stand_in
from tests.support.paper import PaperMachine, Wish, steps

A1, A2, B1, B2 = Wish("a"), Wish("a", "v2"), Wish("b"), Wish("b", "v2")
OLD, NEW = UnitName("llama@a-cpu@v1"), UnitName("llama@a-cpu@v2")


def serving(*wishes: Wish, capacity: int = 10, profile: str = "cpu") -> PaperMachine:
    machine = PaperMachine(capacity)
    machine.run(machine.plan(*wishes, profile=profile))
    assert machine.plan(*wishes, profile=profile).operations == ()
    return machine


def causes(plan: Plan) -> dict[str, str]:
    return {operation.id: operation.cause for operation in plan.operations}


STAND_IN = stand_in(A1.unit()).name


def test_one_that_was_changed_by_hand_serves_until_its_stand_in_answers() -> None:
    machine = serving(A1)
    machine.change_by_hand(OLD)
    plan = machine.plan(A1)
    assert (
        render(plan)
        == f"""\
spec not in Git, profile cpu, generation 1
  + write    {OLD}  (its unit file was changed by hand)
  + write    {STAND_IN}  (not installed)
  + reload   supervisord  (2 unit files to read)
  + start    {STAND_IN}  (not installed)
  + check    {STAND_IN}  (it must answer before it counts)
  ? restore  {STAND_IN}  (only if that fails: {OLD} with version v1 goes on)
  + route    a  ({STAND_IN} answers)
  + commit   2  (what was reached is recorded)
  - stop     {OLD}  (another runtime of a takes over)
  - remove   {OLD}  (another runtime of a takes over)
  + reload   removed units  (1 unit file gone)
11 operations"""
    )
    machine.run(plan)
    assert machine.served("a") == STAND_IN
    assert machine.plan(A1).operations == ()
    machine.change_by_hand(STAND_IN)
    machine.run(machine.plan(A1))
    assert (machine.served("a"), machine.strange) == (OLD, {STAND_IN})
    assert machine.plan(A1).operations == ()


def test_without_room_requests_wait_for_the_stand_in() -> None:
    machine = serving(A1, capacity=1)
    machine.change_by_hand(OLD)
    assert "hold a" in steps(machine.plan(A1))
    machine.run(machine.plan(A1))
    assert (machine.served("a"), set(machine.units)) == (STAND_IN, {STAND_IN})


def test_a_stand_in_gives_way_to_another_version_as_any_runtime_does() -> None:
    machine = serving(A1)
    machine.change_by_hand(OLD)
    machine.run(machine.plan(A1))
    machine.run(machine.plan(A2))
    assert (machine.served("a"), set(machine.units)) == (NEW, {NEW})


def test_a_stand_in_that_does_not_answer_leaves_the_changed_one_serving_and_is_tried_again() -> None:
    machine = serving(A1)
    machine.change_by_hand(OLD)
    machine.broken = {STAND_IN}
    machine.run(machine.plan(A1))
    assert (machine.served("a"), set(machine.units)) == (OLD, {OLD})
    machine.broken = set()
    machine.run(machine.plan(A1))
    assert machine.served("a") == STAND_IN


@pytest.mark.parametrize(("surge", "capacity"), [(True, 10), (True, 1), (False, 10)])
def test_what_was_brought_back_is_kept_running_and_what_is_wanted_instead_is_left(
    *, surge: bool, capacity: int
) -> None:
    one, two = replace(A1, surge=surge), replace(A2, surge=surge)
    machine = serving(one, capacity=capacity)
    name = one.unit().name
    request_ = Request(without=frozenset({ModelId("a")}), keep=frozenset({ModelId("a")}))
    machine.run(machine.plan(two), failing={f"unit:check:{two.unit().name}"})
    assert machine.plan(two, request=request_).operations == ()
    machine.states[name] = UnitState.FAILED
    assert machine.plan(two, request=replace(request_, keep=frozenset())).operations == ()
    kept = machine.plan(two, request=request_)
    assert steps(kept) == [f"restart {name}", f"check {name}", "commit 3"]
    machine.run(kept)
    assert machine.alive(name)
    assert machine.plan(two, request=request_).operations == ()
    machine.files.pop(name)
    assert steps(machine.plan(two, request=request_)) == [f"write {name}", "commit 4"]
    machine.run(machine.plan(two, request=request_))
    machine.states[name] = UnitState.STOPPED
    assert machine.plan(two, request=request_).operations == (), "a person stopped it"
    machine.run(machine.plan(two))
    assert machine.alive(two.unit().name)
    assert machine.plan(two).operations == ()


def test_one_that_nobody_asks_is_set_right_in_place() -> None:
    machine = serving(A1)
    machine.change_by_hand(OLD)
    machine.states[OLD] = UnitState.STOPPED
    machine.run(machine.plan(A1))
    assert (machine.served("a"), set(machine.units)) == (OLD, {OLD})


def test_where_both_fit_the_old_one_serves_until_the_new_one_answers() -> None:
    plan = serving(A1).plan(A2)
    assert (
        render(plan)
        == """\
spec not in Git, profile cpu, generation 1
  + write    llama@a-cpu@v2  (not installed)
  + reload   supervisord  (1 unit file to read)
  + start    llama@a-cpu@v2  (not installed)
  + check    llama@a-cpu@v2  (it must answer before it counts)
  ? restore  llama@a-cpu@v2  (only if that fails: llama@a-cpu@v1 with version v1 goes on)
  + route    a  (llama@a-cpu@v2 answers)
  + commit   2  (what was reached is recorded)
  - stop     llama@a-cpu@v1  (another runtime of a takes over)
  - remove   llama@a-cpu@v1  (another runtime of a takes over)
  + reload   removed units  (1 unit file gone)
10 operations"""
    )


def test_without_room_requests_wait_while_one_makes_way_for_the_other() -> None:
    plan = serving(A1, capacity=1).plan(A2)
    assert (
        render(plan)
        == """\
spec not in Git, profile cpu, generation 1
  + write    llama@a-cpu@v2  (not installed)
  + reload   supervisord  (1 unit file to read)
  + hold     a  (llama@a-cpu@v1 makes room)
  - stop     llama@a-cpu@v1  (makes room: another runtime of a takes over)
  + start    llama@a-cpu@v2  (not installed)
  + check    llama@a-cpu@v2  (it must answer before it counts)
  ? restore  llama@a-cpu@v2  (only if that fails: llama@a-cpu@v1 with version v1 is started again)
  ? restore  a  (only if that fails: requests go to what serves again)
  + route    a  (llama@a-cpu@v2 answers)
  ? release  a  (only if that fails: who waits is told to come back later)
  + commit   2  (what was reached is recorded)
  - remove   llama@a-cpu@v1  (another runtime of a takes over)
  + reload   removed units  (1 unit file gone)
13 operations"""
    )


@pytest.mark.parametrize(
    "failing",
    [
        {"route:route:a"},
        {f"unit:check:{NEW}", f"unit:restore:{NEW}"},
        {f"unit:check:{NEW}", "route:restore:a"},
    ],
)
def test_requests_that_nothing_will_serve_are_turned_away_and_served_by_the_next_apply(
    failing: set[str],
) -> None:
    machine = serving(A1, capacity=1)
    done = machine.run(machine.plan(A2), failing=failing)
    assert done.count("route:release:a") == 1
    assert not machine.waits("a")
    machine.run(machine.plan(A2))
    assert machine.served("a") == NEW
    assert machine.plan(A2).operations == ()


def test_requests_that_found_a_runtime_are_not_turned_away() -> None:
    machine = serving(A1, capacity=1)
    done = machine.run(machine.plan(A2), failing={f"unit:check:{NEW}"})
    assert "route:release:a" not in done
    assert machine.served("a") == OLD


def test_a_runtime_that_answers_already_is_routed_to_after_the_hold_and_not_before() -> None:
    """An apply was killed before the route; the next one needs the old one's room for another model."""
    machine = serving(A1, B1, capacity=3)
    machine.run(machine.plan(A2, B1), steps=4)
    assert (machine.served("a"), machine.units[NEW].answered) == (OLD, True)
    machine.run(machine.plan(A2, Wish("b", "v2", takes=2)), pick=lambda ready: ready[-1])
    assert (machine.served("a"), machine.served("b")) == (NEW, "llama@b-cpu@v2")


@pytest.mark.parametrize("capacity", [1, 2])
def test_one_that_does_not_answer_gives_way_to_the_old_one(capacity: int) -> None:
    machine = serving(A1, capacity=capacity)
    machine.broken = {NEW}
    machine.run(machine.plan(A2))
    assert machine.served("a") == OLD
    assert set(machine.units) == {OLD}
    assert machine.plan(A1).operations == ()


def test_of_several_those_who_fit_start_at_once_and_the_others_wait_for_their_own() -> None:
    big = Wish("b", "v2", takes=5)
    machine = serving(A1, Wish("b", takes=5), capacity=8)
    plan = machine.plan(A2, big)
    assert "hold b" in steps(plan)
    assert "hold a" not in steps(plan)
    machine.run(plan)
    assert (machine.served("a"), machine.served("b")) == (NEW, "llama@b-cpu@v2")


def test_a_model_moves_behind_the_gateway_and_back() -> None:
    alone = Wish("a", surge=False)
    machine = serving(alone)
    plan = machine.plan(A1)
    assert [step for step in steps(plan) if "llama@a-cpu " not in f"{step} "] == [
        f"write {OLD}",
        "launch modelctl-gateway",
        f"start {OLD}",
        f"check {OLD}",
        f"restore {OLD}",
        "route a",
        "commit 2",
    ]
    assert causes(plan)["unit:stop:llama@a-cpu"] == "the gateway takes its port"
    machine.run(plan)
    back = machine.plan(alone)
    order = steps(back)
    assert order.index("remove a") < order.index("start llama@a-cpu")
    assert order[-1] == "remove modelctl-gateway"
    machine.run(back)
    assert not machine.up
    assert machine.plan(alone).operations == ()


def test_a_move_that_fails_leaves_the_model_where_it_was() -> None:
    machine = serving(A1)
    machine.broken = {UnitName("llama@a-cpu")}
    machine.run(machine.plan(Wish("a", surge=False)))
    assert machine.served("a") == OLD
    assert machine.up


def test_runtimes_of_the_profile_before_linger_and_serve_again_without_a_start() -> None:
    machine = serving(A1)
    machine.run(machine.plan(A1, profile="mid"))
    assert machine.served("a") == "llama@a-mid@v1"
    assert machine.units[OLD].retired_at is not None
    assert machine.plan(A1, profile="mid").operations == ()
    back = machine.plan(A1)
    assert f"keep {OLD}" in steps(back)
    assert not [step for step in steps(back) if step.startswith("start")]
    machine.run(back)
    assert machine.served("a") == OLD


def test_one_that_was_idle_for_long_enough_goes() -> None:
    machine = serving(A1)
    machine.run(machine.plan(A1, profile="mid"))
    machine.uses[OLD] = BackendUse(0, 299.0)
    assert machine.plan(A1, profile="mid").operations == ()
    machine.uses[OLD] = BackendUse(0, 300.0)
    assert steps(machine.plan(A1, profile="mid")) == ["commit 3", f"stop {OLD}", f"remove {OLD}"]
    machine.uses[OLD] = BackendUse(1, 0.0)
    assert machine.plan(A1, profile="mid").operations == ()


def test_a_model_that_the_profile_does_not_serve_is_taken_from_the_gateway() -> None:
    machine = serving(A1, B1)
    plan = machine.plan(B1, profile="mid")
    assert "remove a" in steps(plan)
    machine.run(plan)
    assert "a" not in machine.routes
    assert machine.alive(OLD), "it finishes what it has, and lingers"


def test_a_port_that_somebody_else_has_leaves_the_model_as_it_is() -> None:
    machine = serving(A1, B1)
    machine.held = {8701: "nginx (pid 17)"}
    plan = machine.plan(A2, B2)
    assert [(one.resource, one.hint) for one in plan.refused] == [
        (NEW, "stop that program, or give the model another port in the spec")
    ]
    machine.run(plan)
    assert machine.served("a") == OLD
    assert machine.served("b") == "llama@b-cpu@v2"


def test_a_foreign_unit_in_the_place_of_the_gateway_is_left_alone() -> None:
    machine = PaperMachine(foreign="9876543210fe")
    plan = machine.plan(A1, Wish("b", surge=False))
    assert [one.reason for one in plan.refused] == [
        "a unit called modelctl-gateway belongs to another modelctl (9876543210fe)"
    ]
    assert {operation.kind for operation in plan.operations} == {"unit", "generation"}
    machine.run(plan)
    assert set(machine.units) == {"llama@b-cpu"}


def test_a_gateway_that_is_down_is_started_before_it_is_told_anything() -> None:
    machine = serving(A1, capacity=1)
    machine.up = False
    order = steps(machine.plan(A2))
    assert order.index("launch modelctl-gateway") < order.index("hold a")
    machine.run(machine.plan(A2))
    assert machine.served("a") == NEW


@pytest.mark.parametrize(
    "request_",
    [Request(only=frozenset({ModelId("b")})), Request(without=frozenset({ModelId("a")}))],
)
def test_models_that_are_left_out_are_not_touched(request_: Request) -> None:
    machine = serving(A1, B1, capacity=2)
    plan = machine.plan(A2, B2, request=request_)
    assert {"a", OLD, NEW}.isdisjoint(operation.resource for operation in plan.operations)
    machine.run(plan)
    assert (machine.served("a"), machine.served("b")) == (OLD, "llama@b-cpu@v2")


def test_a_successor_that_cannot_be_leaves_the_old_one_alone_even_when_another_needs_room() -> None:
    machine = serving(A1, B1, capacity=2)
    plan = machine.plan(Wish("a", "v2", blocked=True), B2)
    assert {"a", OLD}.isdisjoint(operation.resource for operation in plan.operations)
    machine.run(plan)
    assert (machine.served("a"), machine.served("b")) == (OLD, "llama@b-cpu@v2")


def test_one_that_a_person_stopped_stays_so_until_its_model_changes() -> None:
    machine = serving(A1)
    machine.states[OLD] = UnitState.STOPPED
    held = machine.plan(A1)
    assert held.operations == ()
    assert "held" in held.warnings[0]
    machine.run(machine.plan(A2))
    assert machine.served("a") == NEW
    assert set(machine.units) == {NEW}


def test_what_an_apply_stopped_before_it_was_killed_is_not_held() -> None:
    machine = serving(A1, capacity=1)
    machine.run(machine.plan(A2), steps=4)
    assert not machine.alive(OLD)
    machine.run(machine.plan(A1))
    assert machine.served("a") == OLD


def test_what_the_spec_dropped_keeps_its_route_until_it_is_pruned() -> None:
    machine = serving(A1)
    plan = machine.plan(listed=("b",))
    assert plan.operations == ()
    assert "no longer in the spec, and kept" in plan.warnings[0]
    pruned = machine.plan(listed=("b",), request=Request(prune=True))
    assert steps(pruned) == [
        "commit 2",
        "remove a",
        f"stop {OLD}",
        f"remove {OLD}",
        "remove modelctl-gateway",
    ]
    machine.run(pruned)
    assert not machine.units
    assert not machine.up


def test_a_gateway_that_a_killed_apply_left_behind_goes_with_the_next() -> None:
    machine = serving(A1)
    alone = Wish("a", surge=False)
    machine.run(machine.plan(alone), failing={"route:remove:modelctl-gateway"})
    assert machine.up
    assert steps(machine.plan(alone)) == ["remove modelctl-gateway"]


def test_a_lost_inventory_loses_neither_the_runtime_nor_its_way_back() -> None:
    machine = serving(A1, capacity=1)
    machine.units[OLD] = machine.forgotten(OLD)
    machine.last_ready.clear()
    assert steps(machine.plan(A1)) == [f"check {OLD}", "commit 2"]
    machine.broken = {NEW}
    machine.run(machine.plan(A2))
    assert machine.served("a") == OLD
    machine.broken = set()
    machine.run(machine.plan(A2))
    assert machine.served("a") == NEW
    assert set(machine.units) == {NEW}


def test_a_download_that_another_waits_for_keeps_neither_from_serving() -> None:
    """`b` needs what both make room for; that `a` fails in between brings back what had stopped for it."""
    machine = serving(A1, B1, capacity=2)
    big = Wish("b", "v2", takes=2)
    plan = machine.plan(Wish("a", "v2", takes=0), big)
    machine.run(plan, failing={f"unit:write:{NEW}"})
    assert machine.served("a") is not None
    assert machine.served("b") is not None
