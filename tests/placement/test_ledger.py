from dataclasses import replace

from reconciler.core.types import Bytes
from reconciler.placement.ledger import Card, Claim, Machine, balance, most_copies
from reconciler.placement.settings import Settings
from reconciler.placement.split import Placement, Unplaced

GIB = 1024**3
SETTINGS = Settings(8192, cache_ram=Bytes(0))
MACHINE = Machine(
    cards=(Card("a", Bytes(16 * GIB), 960e9), Card("b", Bytes(12 * GIB), 360e9)),
    ram=Bytes(32 * GIB),
    reserved_ram=Bytes(4 * GIB),
    reserved_vram=Bytes(GIB),
    ram_bandwidth=40e9,
)


def claim(model, name: str, shape: str, **more) -> Claim:
    return Claim(name, model(shape), SETTINGS, ("a", "b"), **more)


def test_each_runtime_gets_what_the_ones_before_left(model):
    ledger = balance([claim(model, "one", "llama-3.1-8b"), claim(model, "two", "gemma-3-12b")], MACHINE)
    assert ledger.first_unplaced is None
    one, two = (entry.outcome for entry in ledger.entries)
    assert isinstance(one, Placement)
    assert isinstance(two, Placement)
    taken = sum(device.total for outcome in (one, two) for device in outcome.report.devices)
    assert sum(ledger.free_vram.values()) == 26 * GIB - taken
    assert ledger.free_ram == 28 * GIB - one.report.host.total - two.report.host.total


def test_reserve_is_never_given_away(model):
    for name in ("qwen2.5-7b", "gpt-oss-20b", "qwen3-30b-a3b"):
        ledger = balance([claim(model, str(number), name) for number in range(9)], MACHINE)
        assert all(free >= 0 for free in ledger.free_vram.values())
        assert ledger.free_ram >= 0


def test_the_first_that_does_not_fit_is_named_with_what_would_help(model):
    cards = (MACHINE.cards[0], Card("b", Bytes(10 * GIB), 360e9))
    small = replace(MACHINE, cards=cards, ram=Bytes(6 * GIB))
    wanted = [
        claim(model, "chat", "gpt-oss-20b"),
        claim(model, "code", "gemma-3-12b"),
        claim(model, "more", "llama-3.1-8b"),
    ]
    failed = balance(wanted, small).first_unplaced
    assert failed is not None
    assert failed.runtime == "more"
    assert isinstance(failed.outcome, Unplaced)
    assert 0 < failed.outcome.short_by < 8 * GIB
    assert set(failed.would_make_room) == {"chat", "code"}


def test_one_that_does_not_fit_leaves_room_for_those_after_it(model):
    tight = replace(MACHINE, ram=Bytes(6 * GIB))
    ledger = balance([claim(model, "big", "llama-3.1-70b"), claim(model, "small", "qwen3-4b")], tight)
    assert isinstance(ledger.entries[0].outcome, Unplaced)
    assert isinstance(ledger.entries[1].outcome, Placement)


def test_the_largest_go_first_when_only_then_all_fit(model):
    cards = (Card("a", Bytes(14 * GIB), 960e9), Card("b", Bytes(8 * GIB), 900e9))
    machine = replace(MACHINE, cards=cards, ram=Bytes(int(6.5 * GIB)))
    wanted = [claim(model, "small", "qwen3-4b"), claim(model, "large", "gpt-oss-20b")]
    ledger = balance(wanted, machine)
    assert ledger.first_unplaced is None
    assert [entry.runtime for entry in ledger.entries] == ["small", "large"]


def test_shares_are_honoured(model):
    ledger = balance([claim(model, "shared", "qwen2.5-7b", percentages=(50, 50))], MACHINE)
    outcome = ledger.entries[0].outcome
    assert isinstance(outcome, Placement)
    assert len(outcome.split.devices) == 2


def test_prompt_caches_count_as_ram(model):
    hungry = replace(claim(model, "hungry", "qwen3-4b"), settings=Settings(8192, cache_ram=Bytes(27 * GIB)))
    ledger = balance([hungry], MACHINE)
    assert ledger.free_ram < GIB


def test_a_mac_of_512_gib_holds_some_twenty_servers_of_18_gib(model):
    mac = Machine(
        cards=(Card("metal", Bytes(480 * GIB), 819e9, unified=True),),
        ram=Bytes(512 * GIB),
        reserved_ram=Bytes(20 * GIB),
        reserved_vram=Bytes(0),
        ram_bandwidth=819e9,
    )
    plain = Claim("m", model("qwen3-30b-a3b"), SETTINGS, ("metal",))
    assert 24 <= most_copies(plain, mac) <= 27
    caching = replace(plain, settings=Settings(8192))
    assert 17 <= most_copies(caching, mac) <= 20


def test_without_cards_everything_is_ram(model):
    bare = replace(MACHINE, cards=())
    ledger = balance([Claim("cpu", model("qwen3-4b"), SETTINGS, ())], bare)
    outcome = ledger.entries[0].outcome
    assert isinstance(outcome, Placement)
    assert outcome.flags(()) == ("--device", "none")
    assert ledger.free_ram < 24 * GIB
