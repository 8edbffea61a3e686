"""Whatever is changed, whatever fails and wherever it is killed: who asks is answered, and it converges."""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.operations import Verb
from reconciler.core.plan import Plan
from tests.support.paper import PROFILES, PaperMachine, Wish

MODELS = ("a", "b", "c")
everywhere = settings(max_examples=150, deadline=None)


@dataclass(frozen=True)
class Change:
    """From one spec and profile to others; each fits the machine by itself, and `spare` is beside them."""

    before: tuple[Wish, ...]
    old: str
    after: tuple[Wish, ...]
    new: str
    spare: int

    def start(self) -> PaperMachine:
        """A machine that is as `before` wants it."""
        needed = max(sum(wish.takes or 0 for wish in wishes) for wishes in (self.before, self.after))
        machine = PaperMachine(needed + self.spare)
        machine.run(machine.plan(*self.before, profile=self.old))
        assert_settled(machine, self.before, self.old)
        return machine

    def plan(self, machine: PaperMachine) -> Plan:
        return machine.plan(*self.after, profile=self.new)

    def all_behind_the_gateway(self) -> "Change":
        before, after = (
            tuple(replace(wish, surge=True) for wish in one) for one in (self.before, self.after)
        )
        return replace(self, before=before, after=after)


takes = st.sampled_from([None, 1, 2, 5])
versions = st.sampled_from(["v1", "v2"])
profiles = st.sampled_from(PROFILES)
wishes = st.tuples(*(st.builds(Wish, st.just(model), versions, st.booleans(), takes) for model in MODELS))
changes = st.builds(Change, wishes, profiles, wishes, profiles, st.integers(0, 6))


def assert_settled(machine: PaperMachine, wanted: tuple[Wish, ...], profile: str) -> None:
    """Everything is as wanted, and nothing is left but what lingers of another profile."""
    assert machine.plan(*wanted, profile=profile).operations == ()
    units = {wish.unit(profile).name for wish in wanted}
    assert all(machine.alive(name) for name in units)
    for wish in wanted:
        assert machine.served(wish.model) == (wish.unit(profile).name if wish.surge else None)
    assert set(machine.routes) == {wish.model for wish in wanted if wish.surge}
    assert machine.up == bool(machine.routes)
    others = machine.units.keys() - units
    assert all(machine.units[name].retired_at and machine.units[name].profile != profile for name in others)


def kill_somewhere(change: Change, machine: PaperMachine, data: st.DataObject) -> None:
    plan = change.plan(machine)
    machine.run(plan, steps=data.draw(st.integers(0, len(plan.operations))))


@everywhere
@given(changes)
def test_it_converges(change: Change) -> None:
    machine = change.start()
    machine.run(change.plan(machine))
    assert_settled(machine, change.after, change.new)


@everywhere
@given(changes, st.data())
def test_killed_anywhere_the_next_apply_finishes_it(change: Change, data: st.DataObject) -> None:
    machine = change.start()
    kill_somewhere(change, machine, data)
    machine.run(change.plan(machine))
    assert_settled(machine, change.after, change.new)


@everywhere
@given(changes, st.data())
def test_killed_anywhere_and_taken_back_it_is_as_before(change: Change, data: st.DataObject) -> None:
    machine = change.start()
    kill_somewhere(change, machine, data)
    machine.run(machine.plan(*change.before, profile=change.old))
    assert_settled(machine, change.before, change.old)


@everywhere
@given(changes, st.data())
def test_whatever_step_fails_every_model_behind_the_gateway_is_served_on(
    change: Change, data: st.DataObject
) -> None:
    change = change.all_behind_the_gateway()
    machine = change.start()
    plan = change.plan(machine)
    # Where what is to mend a failure fails as well, requests are turned away: see below.
    failing = [step.id for step in plan.operations if step.verb not in {Verb.RESTORE, Verb.ROUTE}]
    if failing:
        machine.run(plan, failing={data.draw(st.sampled_from(failing))})
    assert [model for model in MODELS if machine.served(model) is None] == []
    machine.run(change.plan(machine))
    assert_settled(machine, change.after, change.new)


@everywhere
@given(changes, st.data())
def test_whatever_steps_fail_nobody_waits_on_when_the_apply_is_over(
    change: Change, data: st.DataObject
) -> None:
    change = change.all_behind_the_gateway()
    machine = change.start()
    if data.draw(st.booleans()):
        kill_somewhere(change, machine, data)
    plan = change.plan(machine)
    held = {step.resource for step in plan.operations if step.verb is Verb.HOLD}
    waiting = {model for model in MODELS if machine.waits(model)}
    failing = [step.id for step in plan.operations if step.verb is not Verb.RELEASE]
    if failing:
        some = st.sets(st.sampled_from(failing), max_size=3)
        machine.run(plan, failing=data.draw(some), pick=data.draw(st.randoms()).choice)
    assert {model for model in held | waiting if machine.waits(model)} == set()
    machine.run(change.plan(machine))
    assert_settled(machine, change.after, change.new)


@everywhere
@given(changes, st.data())
def test_what_was_changed_by_hand_is_replaced_and_nobody_is_cut_off_wherever_it_is_killed(
    change: Change, data: st.DataObject
) -> None:
    change = change.all_behind_the_gateway()
    machine = change.start()
    for name in data.draw(st.sets(st.sampled_from(sorted(machine.units)), min_size=1)):
        machine.change_by_hand(name)
    if data.draw(st.booleans()):
        change = replace(change, after=change.before, new=change.old)
    for _ in range(data.draw(st.integers(0, 2))):
        plan = change.plan(machine)
        machine.run(plan, steps=data.draw(st.integers(0, len(plan.operations))))
    machine.run(change.plan(machine), pick=data.draw(st.randoms()).choice)
    assert change.plan(machine).operations == ()
    assert [model for model in MODELS if machine.served(model) in {None, *machine.strange}] == []


@everywhere
@given(changes, st.data())
def test_in_whatever_order_steps_run_it_converges(change: Change, data: st.DataObject) -> None:
    machine = change.start()
    if data.draw(st.booleans()):
        kill_somewhere(change, machine, data)
    machine.run(change.plan(machine), pick=data.draw(st.randoms()).choice)
    assert_settled(machine, change.after, change.new)


@everywhere
@given(changes, st.data())
def test_a_successor_that_never_answers_costs_nothing_even_after_a_kill(
    change: Change, data: st.DataObject
) -> None:
    machine = change.start()
    broken = data.draw(st.sampled_from(change.after)).unit(change.new).name
    machine.broken = {broken} - machine.units.keys()
    kill_somewhere(change, machine, data)
    machine.run(change.plan(machine))
    for wish in change.before:
        units = [unit for unit in machine.units.values() if unit.model == wish.model and unit.answered]
        assert any(machine.alive(unit.name) for unit in units), f"{wish.model} is served no more"
        if wish.surge and wish.model in machine.routes:
            assert machine.served(wish.model) is not None


@everywhere
@given(changes, st.data())
def test_the_supervisor_dies_anywhere_and_the_next_apply_finishes_it(
    change: Change, data: st.DataObject
) -> None:
    machine = change.start()
    kill_somewhere(change, machine, data)
    machine.kill_supervisor()
    machine.run(change.plan(machine))
    assert_settled(machine, change.after, change.new)
