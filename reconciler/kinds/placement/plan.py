"""Decides where runtimes go: what is kept stays, what is new gets what is left. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.errors import FormatError, SpecError
from reconciler.core.operations import Operation, Verb
from reconciler.core.sizes import format_bytes
from reconciler.core.types import Bytes, ModelId, ProfileName, UnitName
from reconciler.kinds.placement.document import file_name, render
from reconciler.kinds.placement.figures import Figures, Unread, claim_of
from reconciler.kinds.placement.layout import of_record, placed_flags, without_header
from reconciler.kinds.placement.overrides import read_overrides
from reconciler.kinds.placement.recall import Recalled
from reconciler.kinds.placement.remember import remarks
from reconciler.kinds.placement.types import DeviceKind, Ground, Layout, Part, Record, Wish
from reconciler.placement.ledger import Card, Claim, Entry, Ledger, Machine, balance
from reconciler.placement.memory import DeviceMemory
from reconciler.placement.split import Placement, Unplaced

KIND = "placement"
_NOTHING_HELPS = "take a smaller quantisation of it, or serve it under a larger profile"
NO_FOREIGN_USE: Mapping[str, Bytes] = {}
NO_ANSWERS: Mapping[UnitName, str] = {}
NOWHERE: Mapping[UnitName, Sequence[ProfileName]] = {}


@dataclass(frozen=True, slots=True)
class Write:
    """Payload of `place`: one file of overrides-cache."""

    model: ModelId
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class PlacementPlan:
    """Where every runtime goes, and the files that say so."""

    layouts: Mapping[UnitName, Layout]
    records: Mapping[UnitName, Record]
    unplaced: Mapping[UnitName, Entry] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()


def settle(
    wishes: Sequence[Wish],
    ground: Ground,
    recalled: Recalled,
    figures: Mapping[UnitName, Figures | Unread],
    *,
    foreign: Mapping[str, Bytes] = NO_FOREIGN_USE,
    answers: Mapping[UnitName, str] = NO_ANSWERS,
    elsewhere: Mapping[UnitName, Sequence[ProfileName]] = NOWHERE,
) -> PlacementPlan:
    """Place what is missing in what the kept placements leave.

    Where that leaves one without room and `figures` has the kept runtimes' as well, all are placed anew, if
    then all fit. `foreign` is what other programs hold per device beyond the reserve; `answers`
    what gguf-tensor-overrider printed for those that want it; `elsewhere` other profiles with room for one.
    """
    claims: dict[UnitName, Claim] = {}
    usable = dict(figures)
    for wish in wishes:
        found = figures.get(wish.unit)
        if isinstance(found, Figures):
            try:
                claims[wish.unit] = claim_of(wish, ground, found)
                if wish.unit in answers:
                    read_overrides(answers[wish.unit], gpus=len(ground.devices), context_bytes=0)
            except (SpecError, FormatError) as error:
                claims.pop(wish.unit, None)
                usable[wish.unit] = Unread(error.what, worth_saying=False, blocked=(error.what, error.hint))
    missing = [claims[wish.unit] for wish in wishes if wish.unit in recalled.missing and wish.unit in claims]
    kept = dict(recalled.kept)
    causes = dict(recalled.missing)
    ledger = balance(missing, machine_of(ground, foreign, kept.values()))
    if ledger.first_unplaced is not None and kept and set(kept) <= set(claims):
        everything = balance(list(claims.values()), machine_of(ground, foreign, ()))
        if everything.first_unplaced is None:
            moved = f"moved to make room for {ledger.first_unplaced.runtime}"
            ledger, causes, kept = everything, dict.fromkeys(kept, moved) | causes, {}
    return _plan(wishes, ground, _Outcome(recalled, kept, causes, usable, claims, ledger, answers, elsewhere))


@dataclass(frozen=True, slots=True)
class _Outcome:
    recalled: Recalled
    kept: Mapping[UnitName, Record]
    causes: Mapping[UnitName, str]
    figures: Mapping[UnitName, Figures | Unread]
    claims: Mapping[UnitName, Claim]
    ledger: Ledger
    answers: Mapping[UnitName, str]
    elsewhere: Mapping[UnitName, Sequence[ProfileName]]


def _plan(wishes: Sequence[Wish], ground: Ground, outcome: _Outcome) -> PlacementPlan:
    entries = {UnitName(entry.runtime): entry for entry in outcome.ledger.entries}
    layouts: dict[UnitName, Layout] = {}
    records: dict[UnitName, Record] = {}
    unplaced: dict[UnitName, Entry] = {}
    operations: list[Operation] = []
    warnings = list(outcome.recalled.warnings)
    for wish in wishes:
        entry = entries.get(wish.unit)
        record = outcome.kept.get(wish.unit)
        unread = outcome.figures.get(wish.unit)
        if wish.blocked is not None:
            layouts[wish.unit] = without_header(wish, ground, wish.blocked)
        elif entry is not None and isinstance(entry.outcome, Unplaced):
            layouts[wish.unit] = without_header(
                wish, ground, _refusal(entry, entry.outcome, ground, outcome.elsewhere.get(wish.unit, ()))
            )
            unplaced[wish.unit] = entry
        elif entry is not None and isinstance(entry.outcome, Placement):
            record, faults = _placed(wish, ground, entry.outcome, outcome)
            warnings += [f"{wish.unit}: gguf-tensor-overrider: {fault}" for fault in faults]
            if record != outcome.recalled.kept.get(wish.unit):
                operations.append(_place(wish, record, outcome.causes.get(wish.unit, "")))
        elif isinstance(unread, Unread):
            layouts[wish.unit] = without_header(wish, ground, unread.blocked)
            if unread.worth_saying:
                warnings.append(f"{wish.unit}: placed without knowing its memory: {unread.why}")
        elif record is None:
            layouts[wish.unit] = without_header(wish, ground)
        if record is not None and wish.unit not in layouts:
            records[wish.unit] = record
            layouts[wish.unit] = of_record(record, wish, ground)
    warnings += remarks(wishes, records, ground)
    return PlacementPlan(layouts, records, unplaced, tuple(operations), tuple(warnings))


def machine_of(ground: Ground, foreign: Mapping[str, Bytes], kept: Iterable[Record]) -> Machine:
    """The machine without what the kept placements take.

    A `ggml-rpc-server` talks to one client; a second one would hang while it loads.
    """
    taken: dict[str, int] = dict(foreign)
    ram = 0
    for record in kept:
        ram += record.ram.total
        for part in record.devices:
            taken[part.id] = taken.get(part.id, 0) + part.total
    cards = []
    for device in ground.devices:
        unified = device.kind is DeviceKind.METAL
        ram += taken.get(device.id, 0) if unified else 0
        remote = device.kind is DeviceKind.RPC
        if remote and device.id in taken:
            cards.append(Card(device.id, Bytes(0), device.bandwidth))
            continue
        # What an RPC server offers is given to us whole; a reserve on top would be taken off twice.
        offered = ground.reserved_vram if remote else 0
        total = Bytes(max(0, device.total + offered - taken.get(device.id, 0)))
        cards.append(Card(device.id, total, device.bandwidth, unified, single=remote))
    return Machine(
        cards=tuple(cards),
        ram=Bytes(max(0, ground.ram - ram)),
        reserved_ram=ground.reserved_ram,
        reserved_vram=ground.reserved_vram,
        ram_bandwidth=ground.ram_bandwidth,
    )


def _record(wish: Wish, ground: Ground, placement: Placement, claim: Claim) -> Record:
    split, report = placement.split, placement.report
    parts = zip(placement.devices, split.devices, report.devices, strict=True)
    on_cpu = split.cpu if placement.devices else claim.model.slots
    return Record(
        runtime=wish.unit,
        flags=placed_flags(placement, ground) if wish.strategy != "fit" else (),
        devices=tuple(_part(id_, layers, memory) for id_, layers, memory in parts),
        ram=_part("ram", on_cpu, report.host),
        expert_layers_in_ram=split.expert_layers_on_cpu,
        feed_forward_in_ram=tuple((one.layer, one.parts) for one in split.overflow),
        feed_forward_on_next_device=tuple((one.layer, one.parts) for one in split.shared),
        seconds_per_token=round(placement.seconds_per_token, 9),
        exact=report.exact,
        trained_context=claim.model.architecture.trained_context,
        key=wish.key(ground),
    )


def _placed(
    wish: Wish, ground: Ground, placement: Placement, outcome: _Outcome
) -> tuple[Record, tuple[str, ...]]:
    """The record, and what is wrong with the external tool's answer where it is followed.

    With the tool's flags its bytes stay those of our own split, the best known.
    """
    record = _record(wish, ground, placement, outcome.claims[wish.unit])
    answer = outcome.answers.get(wish.unit)
    if answer is None:
        return record, ()
    context = sum(part.context for part in (*record.devices, record.ram))
    found = read_overrides(answer, gpus=len(ground.devices), context_bytes=context)
    return replace(record, flags=found.flags), found.faults


def _part(id_: str, layers: int, memory: DeviceMemory) -> Part:
    return Part(id_, layers, memory.model, memory.context, memory.compute, memory.beside)


def _place(wish: Wish, record: Record, cause: str) -> Operation:
    return Operation(
        Verb.PLACE,
        KIND,
        wish.unit,
        cause,
        depends_on=wish.needs,
        payload=Write(wish.model, file_name(wish.unit), render(record)),
    )


def _refusal(
    entry: Entry, outcome: Unplaced, ground: Ground, elsewhere: Sequence[ProfileName]
) -> tuple[str, str | None]:
    where = "RAM" if not ground.devices else f"the memory of profile {ground.profile}"
    if ground.reserved_ram >= ground.ram:
        reserved, there = format_bytes(ground.reserved_ram), format_bytes(ground.ram)
        return f"settings.reserve.ram of {reserved} leaves nothing of {there} RAM", "lower it"
    help_ = [proposal.what for proposal in outcome.proposals]
    help_ += [f"serving {runtime} elsewhere" for runtime in entry.would_make_room]
    help_ += [f"profile {name}, which has room for it" for name in elsewhere]
    hint = "what would help: " + "; or ".join(help_) if help_ else _NOTHING_HELPS
    return f"it does not fit: {format_bytes(outcome.short_by)} more of {where} would be needed", hint
