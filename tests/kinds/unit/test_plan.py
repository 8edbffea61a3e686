"""What is wanted and what was seen, as tables; what happens, as text."""

from dataclasses import replace

import pytest

from reconciler.core.endpoint import TcpEndpoint
from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Verb, check_graph
from reconciler.core.types import ModelId, ProfileName, UnitName, VersionId, unit_name
from reconciler.core.units import GpuAccess, SupervisorKind, UnitDefinition, UnitState, UnitStatus
from reconciler.kinds.unit.plan import UnitPlan, plan_units
from reconciler.kinds.unit.removal import Removal, plan_removals
from reconciler.kinds.unit.types import DesiredUnit, ObservedUnit, UnitWorld

OWNER = "0123456789ab"
TEMPLATE = "{{ unit.argv | join(' ') }}\n"


def wanted(model: str = "a", *, context: int = 4096, version: str = "v1", port: int = 8601) -> DesiredUnit:
    name = unit_name(model, "cpu")
    definition = UnitDefinition(
        name=name,
        description=f"{model} under cpu",
        argv=("/bin/llama-server", "--ctx-size", str(context), "--port", str(port)),
        environment=(("MODELCTL_VERSION", version),),
        working_directory="/",
        log_path=None,
        memory_limit=None,
        read_paths=(),
        write_paths=(),
        gpu=GpuAccess.NONE,
        loopback=True,
    )
    return DesiredUnit(
        definition,
        ModelId(model),
        VersionId(version),
        ProfileName("cpu"),
        TcpEndpoint("127.0.0.1", port),
        embedding=False,
        ready_seconds=5.0,
    )


def owned(unit: DesiredUnit, *, started: bool = True, ready: bool = True) -> OwnedUnit:
    digest = unit.definition.config_hash
    return OwnedUnit(
        name=unit.name,
        model=unit.model,
        version=unit.version,
        profile=unit.profile,
        endpoint=str(unit.endpoint),
        config_hash=digest,
        text="the file as written\n",
        started_hash=digest if started else None,
        ready_hash=digest if ready else None,
        generation=3,
    )


def seen(
    name: UnitName,
    state: UnitState = UnitState.RUNNING,
    *,
    text: str | None = "the file as written\n",
    owner: str | None = OWNER,
    port_holder: str | None = None,
) -> ObservedUnit:
    return ObservedUnit(
        UnitStatus(name, state), None if text is None else text_hash(text), owner, port_holder
    )


def absent(name: UnitName) -> ObservedUnit:
    return seen(name, UnitState.ABSENT, text=None, owner=None)


def world(*units: tuple[OwnedUnit | None, ObservedUnit], running: bool = True) -> UnitWorld:
    ours = {unit.name: unit for unit, _ in units if unit is not None}
    return UnitWorld(
        supervisor=SupervisorKind.SUPERVISORD,
        supervisor_running=running,
        template=TEMPLATE,
        owner=OWNER,
        generation=4,
        owned=ours,
        last_ready={name: unit for name, unit in ours.items() if unit.ready_hash == unit.config_hash},
        observed={observed.status.name: observed for _, observed in units},
    )


def steps(plan: UnitPlan) -> list[str]:
    check_graph(plan.operations)
    return [f"{operation.verb} {operation.resource}" for operation in plan.operations]


def test_a_unit_as_wanted_yields_nothing() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit), seen(unit.name))))
    assert plan == UnitPlan((), (), (), ())


def test_a_new_unit_is_written_read_started_and_checked() -> None:
    unit = wanted()
    plan = plan_units([unit], world((None, absent(unit.name))))
    assert steps(plan) == [
        "write llama@a-cpu",
        "reload supervisord",
        "start llama@a-cpu",
        "check llama@a-cpu",
    ]


def test_a_supervisor_that_does_not_run_is_launched_first() -> None:
    unit = wanted()
    plan = plan_units([unit], world((None, absent(unit.name)), running=False))
    assert steps(plan)[0] == "launch supervisord"


def test_a_changed_unit_restarts_and_has_a_way_back() -> None:
    before, after = wanted(context=4096), wanted(context=8192)
    plan = plan_units([after], world((owned(before), seen(before.name))))
    assert steps(plan) == [
        "write llama@a-cpu",
        "reload supervisord",
        "restart llama@a-cpu",
        "check llama@a-cpu",
        "restore llama@a-cpu",
    ]
    assert plan.operations[0].cause == "its settings changed"
    assert plan.operations[-1].payload.unit == owned(before)


def test_only_the_changed_one_of_two_is_touched() -> None:
    a, b = wanted("a", port=1), wanted("b", port=2)
    there = world((owned(a), seen(a.name)), (owned(b), seen(b.name)))
    plan = plan_units([a, wanted("b", port=2, context=8192)], there)
    assert {operation.resource for operation in plan.operations} == {"llama@b-cpu", "supervisord"}


def test_a_new_version_says_which() -> None:
    before, after = wanted(version="v1"), wanted(version="v2")
    plan = plan_units([after], world((owned(before), seen(before.name))))
    assert plan.operations[0].cause == "version v1 → v2"


def test_a_unit_file_changed_by_hand_is_written_again_and_restarted() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit), seen(unit.name, text="edited\n"))))
    assert steps(plan)[0] == "write llama@a-cpu"
    assert plan.operations[0].cause == "its unit file was changed by hand"


def test_a_unit_file_in_which_only_comments_changed_is_written_again_and_what_runs_goes_on() -> None:
    unit = wanted()
    commented = replace(seen(unit.name, text="# a note\n"), as_written=True)
    plan = plan_units([unit], world((owned(unit), commented)))
    assert steps(plan) == ["write llama@a-cpu", "reload supervisord"]
    assert plan.operations[0].cause == "comments in its unit file were changed by hand"
    assert plan.operations[0].payload.unit == owned(unit)


def test_a_unit_file_with_another_mode_is_written_again_and_what_runs_goes_on() -> None:
    unit = wanted()
    opened = replace(seen(unit.name), access="the mode of its unit file is 0666 instead of 0644")
    plan = plan_units([unit], world((owned(unit), opened)))
    assert steps(plan) == ["write llama@a-cpu", "reload supervisord"]
    assert plan.operations[0].cause == opened.access


def test_one_that_has_to_start_anyway_gets_its_file_right_on_the_way() -> None:
    unit = wanted()
    commented = replace(seen(unit.name, UnitState.FAILED, text="# a note\n"), as_written=True)
    plan = plan_units([unit], world((owned(unit), commented)))
    assert steps(plan) == [
        "write llama@a-cpu",
        "reload supervisord",
        "restart llama@a-cpu",
        "check llama@a-cpu",
    ]


def test_one_that_is_held_stays_so_when_its_file_is_put_right() -> None:
    unit = wanted()
    held = replace(seen(unit.name, UnitState.STOPPED), access="its unit file belongs to user 1001")
    plan = plan_units([unit], world((owned(unit), held)))
    assert steps(plan) == ["write llama@a-cpu", "reload supervisord"]


def test_a_unit_stopped_by_hand_is_held() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit), seen(unit.name, UnitState.STOPPED))))
    assert plan.operations == ()
    assert "held" in plan.warnings[0]


def test_a_held_unit_starts_when_its_model_is_resumed() -> None:
    unit = wanted()
    there = world((owned(unit), seen(unit.name, UnitState.STOPPED)))
    assert steps(plan_units([unit], there, resume={ModelId("b")})) == []
    assert steps(plan_units([unit], there, resume={ModelId("a")})) == [
        "start llama@a-cpu",
        "check llama@a-cpu",
    ]


def test_a_held_unit_starts_when_its_model_changes() -> None:
    before, after = wanted(), wanted(context=8192)
    plan = plan_units([after], world((owned(before), seen(before.name, UnitState.STOPPED))))
    assert "start llama@a-cpu" in steps(plan)


def test_a_unit_that_failed_is_tried_again_on_request() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit), seen(unit.name, UnitState.FAILED))))
    assert steps(plan) == ["restart llama@a-cpu", "check llama@a-cpu"]


def test_a_unit_that_the_supervisor_forgot_is_told_again() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit), seen(unit.name, UnitState.ABSENT))))
    assert steps(plan) == ["reload supervisord", "start llama@a-cpu", "check llama@a-cpu"]


def test_after_a_kill_between_start_and_check_only_the_check_is_left() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit, ready=False), seen(unit.name))))
    assert steps(plan) == ["check llama@a-cpu"]


def test_after_a_kill_between_write_and_start_the_unit_is_written_and_restarted() -> None:
    unit = wanted()
    plan = plan_units([unit], world((owned(unit, started=False, ready=False), seen(unit.name))))
    assert steps(plan)[:3] == ["write llama@a-cpu", "reload supervisord", "restart llama@a-cpu"]


@pytest.mark.parametrize("owner", [None, "another-store"])
def test_a_foreign_unit_of_the_same_name_is_left_alone(owner: str | None) -> None:
    unit = wanted()
    plan = plan_units([unit], world((None, seen(unit.name, owner=owner))))
    assert plan.operations == ()
    assert "belongs to" in plan.refused[0].reason


def test_a_port_in_use_refuses_that_unit_only() -> None:
    a, b = wanted("a", port=1), wanted("b", port=2)
    taken = replace(absent(a.name), port_holder="nginx (pid 17)")
    plan = plan_units([a, b], world((None, taken), (None, absent(b.name))))
    assert [refusal.resource for refusal in plan.refused] == ["llama@a-cpu"]
    assert "start llama@b-cpu" in steps(plan)


def test_a_held_unit_is_not_resumed_into_somebody_elses_port() -> None:
    unit = wanted()
    held = replace(seen(unit.name, UnitState.STOPPED), port_holder="nginx (pid 17)")
    plan = plan_units([unit], world((owned(unit), held)), resume={ModelId("a")})
    assert plan.operations == ()
    assert "in use by nginx (pid 17)" in plan.refused[0].reason


def test_a_blocked_change_leaves_the_running_unit_alone() -> None:
    before = wanted()
    after = replace(wanted(version="v2"), blocked=("version v2 has no sha256", "modelctl pull a"))
    plan = plan_units([after], world((owned(before), seen(before.name))))
    assert plan.operations == ()
    assert plan.refused[0].hint == "modelctl pull a"


def test_removals_stop_before_they_remove_and_are_told_once() -> None:
    a, b = wanted("a", port=1), wanted("b", port=2)
    there = world((owned(a), seen(a.name)), (owned(b), seen(b.name, UnitState.ABSENT)))
    operations = plan_removals([Removal(owned(a), "dropped"), Removal(owned(b), "elsewhere")], there)
    assert [(operation.verb, operation.resource) for operation in operations] == [
        (Verb.STOP, "llama@a-cpu"),
        (Verb.REMOVE, "llama@a-cpu"),
        (Verb.REMOVE, "llama@b-cpu"),
        (Verb.RELOAD, "removed units"),
    ]
    assert all(operation.destructive for operation in operations[:3])
