"""Every runtime's memory against what the machine has: which set fits, what does not, and what would help."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.types import Bytes
from reconciler.placement.devices import Device, Host
from reconciler.placement.memory import Model
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, Unplaced, by_shares, fit

MOST_COPIES = 4096


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as a whole. `unified`: its memory is RAM, so what it takes is taken from both.

    `single`: it serves one runtime at a time, however much memory is left.
    """

    id: str
    total: Bytes
    bandwidth: float
    unified: bool = False
    single: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is, and what of it is left to others (`settings.reserve`)."""

    cards: tuple[Card, ...]
    ram: Bytes
    reserved_ram: Bytes
    reserved_vram: Bytes
    """On each card that is not unified."""
    ram_bandwidth: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A runtime that wants memory."""

    runtime: str
    model: Model
    settings: Settings
    cards: tuple[str, ...]
    """Ids of the cards of its profile, in the profile's order."""
    percentages: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    runtime: str
    outcome: Placement | Unplaced
    would_make_room: tuple[str, ...] = ()
    """Runtimes placed before it; without any one of them it would fit."""


@dataclass(frozen=True, slots=True)
class Ledger:
    entries: tuple[Entry, ...]
    free_vram: Mapping[str, Bytes]
    """Per card, reserve deducted."""
    free_ram: Bytes

    @property
    def first_unplaced(self) -> Entry | None:
        """The first runtime that does not fit; None when all do."""
        return next((entry for entry in self.entries if isinstance(entry.outcome, Unplaced)), None)


def balance(claims: Sequence[Claim], machine: Machine) -> Ledger:
    """Place the claims one after the other, each where it is fastest in what the earlier ones left.

    Where that leaves one without room, the largest are placed first instead, if then all fit. Entries come in
    the order of the claims in either case.
    """
    books = _Books(machine)
    outcomes = {claim.runtime: books.place(claim) for claim in claims}
    if any(isinstance(outcome, Unplaced) for outcome in outcomes.values()):
        packed = _Books(machine)
        by_size = sorted(claims, key=lambda claim: -claim.model.weights.total)
        others = {claim.runtime: packed.place(claim) for claim in by_size}
        if all(isinstance(outcome, Placement) for outcome in others.values()):
            books, outcomes = packed, others
    entries = [Entry(claim.runtime, outcomes[claim.runtime]) for claim in claims]
    failed = next((i for i, entry in enumerate(entries) if isinstance(entry.outcome, Unplaced)), None)
    if failed is not None:
        room = tuple(_would_make_room(claims[: failed + 1], machine))
        entries[failed] = Entry(entries[failed].runtime, entries[failed].outcome, room)
    return Ledger(tuple(entries), dict(books.vram), books.ram)


def most_copies(claim: Claim, machine: Machine) -> int:
    """How many runtimes of this kind the machine holds, `MOST_COPIES` at most."""
    books = _Books(machine)
    count = 0
    while count < MOST_COPIES and isinstance(books.place(claim), Placement):
        count += 1
    return count


def _would_make_room(claims: Sequence[Claim], machine: Machine) -> Iterator[str]:
    *earlier, last = claims
    for left_out in earlier:
        books = _Books(machine)
        for claim in earlier:
            if claim is not left_out:
                books.place(claim)
        if isinstance(books.place(last), Placement):
            yield left_out.runtime


class _Books:
    """What is left while claims are placed."""

    def __init__(self, machine: Machine) -> None:
        self._cards = {card.id: card for card in machine.cards}
        self._ram_bandwidth = machine.ram_bandwidth
        self.ram = Bytes(max(0, machine.ram - machine.reserved_ram))
        self.vram = {
            card.id: Bytes(max(0, card.total - (0 if card.unified else machine.reserved_vram)))
            for card in machine.cards
        }

    def place(self, claim: Claim) -> Placement | Unplaced:
        """Place it and deduct what it takes, or leave everything as it is."""
        ram = Bytes(max(0, self.ram - claim.settings.cache_ram))
        devices = [
            Device(id_, self._budget(claim, id_, ram), self._cards[id_].bandwidth) for id_ in claim.cards
        ]
        host = Host(ram, self._ram_bandwidth)
        if claim.percentages is not None and devices:
            outcome = by_shares(claim.model, claim.settings, devices, host, claim.percentages)
        else:
            outcome = fit(claim.model, claim.settings, devices, host)
        if isinstance(outcome, Placement):
            self._deduct(outcome)
        return outcome

    def _budget(self, claim: Claim, id_: str, ram: Bytes) -> Bytes:
        if not self._cards[id_].unified:
            return self.vram[id_]
        return Bytes(max(0, min(self.vram[id_], ram - 2 * claim.model.weights.input)))

    def _deduct(self, placement: Placement) -> None:
        taken = placement.report.host.total + placement.report.cache_ram
        for id_, device in zip(placement.devices, placement.report.devices, strict=True):
            self.vram[id_] = Bytes(0 if self._cards[id_].single else self.vram[id_] - device.total)
            taken += device.total if self._cards[id_].unified else 0
        self.ram = Bytes(max(0, self.ram - taken))
