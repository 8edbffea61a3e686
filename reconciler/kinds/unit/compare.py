"""What one unit needs: as it is wanted, beside what was seen of it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reconciler.core.hashing import text_hash
from reconciler.core.inventory import OwnedUnit
from reconciler.core.operations import Verb
from reconciler.core.plan import Refusal
from reconciler.core.types import UnitName
from reconciler.core.units import UnitState
from reconciler.kinds.unit.ownership import Ownership
from reconciler.kinds.unit.render import render
from reconciler.kinds.unit.types import DesiredUnit, Handover, ObservedUnit, UnitChange, UnitWorld

ALIVE = (UnitState.RUNNING, UnitState.STARTING, UnitState.RESTARTING)
BY_HAND = "its unit file was changed by hand"


@dataclass(frozen=True, slots=True)
class Step:
    """What one unit needs."""

    change: UnitChange
    cause: str
    write: bool
    begin: Verb | None
    """START, RESTART, or None when it already starts and only its readiness is awaited."""
    needs: tuple[str, ...]
    handover: Handover | None = None
    proven: bool = True
    """Whether it must answer; otherwise what runs is not touched."""


def compare(unit: DesiredUnit, world: UnitWorld, *, resume: bool) -> Step | Refusal | str | None:
    """Nothing, a step, why it cannot be, or what a person should know of it."""
    seen = world.observed[unit.name]
    owned = world.owned.get(unit.name)
    if foreign := _foreign(unit.name, seen, world):
        return foreign
    wanted = unit.definition.config_hash
    if owned is not None and seen.file_hash is not None and owned.config_hash == wanted:
        if is_altered(owned, seen):
            return _change(unit, world, cause=BY_HAND)
        if owned.started_hash == wanted:
            return _as_configured(unit, owned, world, resume=resume)
    if unit.blocked is not None:
        return Refusal(unit.name, *unit.blocked)
    if seen.port_holder is not None:
        return _port_taken(unit, seen.port_holder)
    if owned is None or seen.file_hash is None:
        cause = "not installed" if owned is None else "its unit file is gone"
    elif owned.config_hash == wanted:
        cause = "written but not started: the last apply was interrupted"
    else:
        cause = _what_changed(unit, owned)
    return _change(unit, world, cause=cause)


def _port_taken(unit: DesiredUnit, holder: str) -> Refusal:
    return Refusal(
        unit.name,
        f"its address {unit.endpoint} is in use by {holder}",
        "stop that program, or give the model another port in the spec",
    )


def _foreign(name: UnitName, seen: ObservedUnit, world: UnitWorld) -> Refusal | None:
    if seen.file_hash is None or seen.file_owner == world.owner:
        return None
    if seen.file_owner is None and name in world.owned:
        return None  # ours by the inventory; somebody cut its header off by hand
    whose = f"another modelctl ({seen.file_owner})" if seen.file_owner else "somebody else"
    return Refusal(
        name, f"a unit of this name belongs to {whose}", "rename the model, or remove that unit first"
    )


def is_altered(owned: OwnedUnit, seen: ObservedUnit) -> bool:
    """Whether its supervisor would do something else by its file than by what was written."""
    return seen.file_hash != text_hash(owned.text) and not seen.as_written


def _as_configured(
    unit: DesiredUnit, owned: OwnedUnit, world: UnitWorld, *, resume: bool
) -> Step | Refusal | str | None:
    """The configuration is right; is it running, and is its file as it was written?"""
    seen = world.observed[unit.name]
    step = _unchanged(unit, owned, seen, world, resume=resume)
    begins = isinstance(step, Step) and step.begin is not None
    if begins and seen.port_holder is not None:
        return _port_taken(unit, seen.port_holder)
    differs = seen.file_hash != text_hash(owned.text)
    wrong = "comments in its unit file were changed by hand" if differs else seen.access
    return step if wrong is None else _put_right(step, unit, owned, wrong)


def _unchanged(
    unit: DesiredUnit, owned: OwnedUnit, seen: ObservedUnit, world: UnitWorld, *, resume: bool
) -> Step | str | None:
    """The configuration is right; is it running?"""
    ready = owned.ready_hash == owned.config_hash
    state = seen.status.state
    if state in ALIVE:
        return None if ready else _begin(unit, owned, None, "started but never seen ready")
    held = state is UnitState.STOPPED and ready and world.supervisor_running
    if held and not resume:
        return f"{unit.name} was stopped by hand and is held; `modelctl resume {unit.model}` starts it again"
    if unit.blocked is not None:
        return None
    if state is UnitState.FAILED:
        return _begin(
            unit, owned, Verb.RESTART, f"it failed: {seen.status.detail or 'the supervisor gave up on it'}"
        )
    if held:
        cause = "stopped by hand, and to be resumed"
    else:
        cause = "it is not running" if world.supervisor_running else "the supervisor was not running"
    return _begin(unit, owned, Verb.START, cause)


def _change(unit: DesiredUnit, world: UnitWorld, *, cause: str) -> Step:
    definition = unit.definition
    ownership = Ownership(world.owner, world.generation, definition.config_hash)
    rendered = render(definition, ownership, world.supervisor, world.template)
    new = OwnedUnit(
        name=unit.name,
        model=unit.model,
        version=unit.version,
        profile=unit.profile,
        endpoint=str(unit.endpoint),
        config_hash=definition.config_hash,
        text=rendered.text,
        started_hash=None,
        ready_hash=None,
        generation=world.generation,
    )
    previous = world.last_ready.get(unit.name)
    alive = world.observed[unit.name].status.state in ALIVE
    return Step(
        change=UnitChange(new, previous, unit.embedding, unit.ready_seconds, definition.memory_limit),
        cause=cause,
        write=True,
        begin=Verb.RESTART if alive else Verb.START,
        needs=unit.needs,
    )


def _begin(unit: DesiredUnit, owned: OwnedUnit, verb: Verb | None, cause: str) -> Step:
    kept = replace(owned, retired_at=None)
    change = UnitChange(kept, None, unit.embedding, unit.ready_seconds, unit.definition.memory_limit)
    return Step(change, cause, write=False, begin=verb, needs=unit.needs)


def _put_right(step: Step | str | None, unit: DesiredUnit, owned: OwnedUnit, cause: str) -> Step:
    """Write its file again as it was; what runs goes on, and who is held stays so."""
    if isinstance(step, Step):
        return replace(step, write=True)
    change = UnitChange(owned, None, unit.embedding, unit.ready_seconds, unit.definition.memory_limit)
    return Step(change, cause, write=True, begin=None, needs=(), proven=False)


def kept(owned: OwnedUnit, like: DesiredUnit, world: UnitWorld) -> Step | None:
    """What keeps one going that was brought back; None where it goes, is held, or is not ours to touch.

    `like` is what is wanted of its model instead.
    """
    seen = world.observed[owned.name]
    if _foreign(owned.name, seen, world) is not None:
        return None
    definition = replace(like.definition, name=owned.name)
    unit = replace(like, definition=definition, needs=(), blocked=None)
    step = _unchanged(unit, owned, seen, world, resume=False)
    if is_altered(owned, seen):
        cause = BY_HAND if seen.file_hash is not None else "its unit file is gone"
        step = _put_right(step, unit, owned, cause)
    if not isinstance(step, Step) or (step.begin is not None and seen.port_holder is not None):
        return None
    return replace(step, change=replace(step.change, kept=True))


def mended(world: UnitWorld) -> Iterator[Step]:
    """Put right the files of those who go: one that cannot be read may keep a supervisor from reading any."""
    for name in sorted(world.doubted):
        owned = world.owned[name]
        if world.observed[name].file_hash != text_hash(owned.text):
            change = UnitChange(owned, None, embedding=False, ready_seconds=0.0, memory_limit=None)
            yield Step(change, BY_HAND, write=True, begin=None, needs=(), proven=False)


def _what_changed(unit: DesiredUnit, owned: OwnedUnit) -> str:
    if owned.version != unit.version:
        return f"version {owned.version} → {unit.version}"
    if owned.endpoint != str(unit.endpoint):
        return f"address {owned.endpoint} → {unit.endpoint}"
    return "its settings changed"
