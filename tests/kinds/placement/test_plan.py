"""What is kept stays, what is new gets what is left, what fits nowhere is told."""

import json
from dataclasses import replace

import pytest

from reconciler.core.hashing import config_hash
from reconciler.core.types import Bytes
from reconciler.kinds.placement.figures import Unread
from reconciler.kinds.placement.plan import settle
from reconciler.kinds.placement.recall import recall
from reconciler.kinds.placement.types import Device, DeviceKind
from tests.kinds.placement.conftest import GIB, GROUND, GetFigures, place, wish, written


def test_a_placement_is_written_after_its_files_are_verified(figures: GetFigures) -> None:
    plan = place({wish("a"): figures("qwen3-4b")})
    [operation] = plan.operations
    assert operation.id == "placement:place:llama@a-max"
    assert operation.depends_on == ("artifact:link:a@v1",)
    assert operation.payload.file == "a-max.json"
    assert plan.layouts[wish("a").unit].visible == ("GPU-a",)


def test_what_is_kept_costs_nothing_and_changes_nothing(figures: GetFigures) -> None:
    first = place({wish("a"): figures("qwen3-4b")})
    recalled = recall([wish("a")], GROUND, written(first))
    assert not recalled.missing
    again = settle([wish("a")], GROUND, recalled, {})
    assert again.operations == ()
    assert again.layouts == first.layouts


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"context_tokens": 16384}, "context_tokens 8192 → 16384"),
        ({"parallel": 2}, "parallel 1 → 2"),
        ({"flags": (("cache-type-k", "q8_0"),)}, "other flags"),
        ({"artifacts": (("model.gguf", "b" * 64),)}, "other files"),
        ({"shares": (60, 40)}, "shares None → [60, 40]"),
    ],
)
def test_what_a_placement_depends_on_makes_it_anew(
    figures: GetFigures, changes: dict[str, object], cause: str
) -> None:
    files = written(place({wish("a"): figures("qwen3-4b")}))
    [operation] = place({wish("a", **changes): figures("qwen3-4b")}, files).operations
    assert operation.cause == cause


def test_other_devices_another_engine_and_another_reserve_count(figures: GetFigures) -> None:
    files = written(place({wish("a"): figures("qwen3-4b")}))
    for ground, cause in (
        (replace(GROUND, devices=GROUND.devices[:1]), "other devices"),
        (replace(GROUND, engine="llama-server b12000"), "engine llama-server b11434 → llama-server b12000"),
        (
            replace(GROUND, reserved_vram=Bytes(2 * GIB)),
            "reserve of 4 GiB RAM, 1 GiB VRAM → 4 GiB RAM, 2 GiB VRAM",
        ),
    ):
        [operation] = place({wish("a"): figures("qwen3-4b")}, files, ground).operations
        assert operation.cause == cause


def test_some_more_ram_than_before_is_no_reason(figures: GetFigures) -> None:
    files = written(place({wish("a"): figures("qwen3-4b")}))
    larger = replace(GROUND, ram=Bytes(GROUND.ram + 200 * 1024**2))
    assert not recall([wish("a")], larger, files).missing


def test_what_no_longer_fits_into_the_ram_is_looked_at_anew(figures: GetFigures) -> None:
    bare = replace(GROUND, devices=())
    wanted = {wish("a"): figures("qwen3-4b"), wish("b"): figures("llama-3.1-8b")}
    files = written(place(wanted, ground=bare))
    plan = place(wanted, files, replace(bare, ram=Bytes(12 * GIB)))
    assert plan.layouts[wish("a").unit].blocked is None
    assert plan.layouts[wish("b").unit].blocked is not None


@pytest.mark.parametrize(
    "damage", [lambda text: text.replace('"none"', '"row"'), lambda _: "", lambda _: "[]"]
)
def test_an_edited_file_is_noticed(figures: GetFigures, damage) -> None:
    files = written(place({wish("a"): figures("qwen3-4b")}))
    unit = wish("a").unit
    plan = place({wish("a"): figures("qwen3-4b")}, {unit: damage(files[unit])})
    assert written(plan) == files
    assert "edited or is damaged" in plan.warnings[0]


def test_a_new_model_leaves_those_that_are_kept_where_they_are(figures: GetFigures) -> None:
    files = written(place({wish("b"): figures("gemma-3-12b")}))
    both = place({wish("a"): figures("gpt-oss-20b"), wish("b"): figures("gemma-3-12b")}, files)
    assert [operation.resource for operation in both.operations] == ["llama@a-max"]


def test_a_kept_model_moves_only_when_then_all_fit(figures: GetFigures) -> None:
    tight = replace(GROUND, ram=Bytes(7 * GIB))
    files = written(place({wish("small"): figures("qwen3-4b")}, ground=tight))
    wanted = {wish("small"): figures("qwen3-4b"), wish("large"): figures("gpt-oss-20b")}
    plan = place(wanted, files, tight)
    assert not plan.unplaced
    causes = {operation.resource: operation.cause for operation in plan.operations}
    assert causes.get("llama@small-max", "moved to make room for llama@large-max") == (
        "moved to make room for llama@large-max"
    )


def test_what_does_not_fit_is_refused_and_the_others_go_on(figures: GetFigures) -> None:
    tight = replace(GROUND, ram=Bytes(6 * GIB))
    plan = place({wish("big"): figures("llama-3.1-70b"), wish("small"): figures("qwen3-4b")}, ground=tight)
    blocked = plan.layouts[wish("big").unit].blocked
    assert blocked is not None
    assert "it does not fit" in blocked[0]
    assert plan.layouts[wish("small").unit].blocked is None
    assert [operation.resource for operation in plan.operations] == ["llama@small-max"]


def test_a_reserve_of_all_ram_is_what_is_wrong(figures: GetFigures) -> None:
    plan = place({wish("a"): figures("qwen3-4b")}, ground=replace(GROUND, reserved_ram=Bytes(999 * GIB)))
    assert plan.layouts[wish("a").unit].blocked == (
        "settings.reserve.ram of 999 GiB leaves nothing of 64 GiB RAM",
        "lower it",
    )


def test_a_reserve_of_a_whole_card_is_told(figures: GetFigures) -> None:
    plan = place({wish("a"): figures("qwen3-4b")}, ground=replace(GROUND, reserved_vram=Bytes(12 * GIB)))
    assert plan.warnings == ("settings.reserve.vram of 12 GiB leaves nothing of RTX 3060",)


def test_what_other_programs_hold_counts_when_a_model_is_new(figures: GetFigures) -> None:
    plan = place({wish("a"): figures("gpt-oss-20b")}, foreign={"GPU-a": Bytes(8 * GIB)})
    assert plan.layouts[wish("a").unit].visible != ("GPU-a",)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("llama-3.1-70b", {"gate", "up", "down"}),
        ("qwen3-next-80b", {"gate_exps", "up_exps", "down_exps"}),
    ],
    ids=["dense", "experts"],
)
def test_feed_forward_weights_that_fit_on_no_gpu_are_overridden_and_kept(
    figures: GetFigures, name: str, names: set[str]
) -> None:
    wanted = wish("a", context_tokens=4096)
    plan = place({wanted: figures(name)})
    unit = wanted.unit
    flags = plan.layouts[unit].flags
    assert "=CPU" in flags[flags.index("--override-tensor") + 1]
    left = plan.records[unit].feed_forward_in_ram
    assert left
    assert {part for _, parts in left for part in parts} <= names
    assert bool(plan.records[unit].expert_layers_in_ram) == ("down_exps" in names)
    recalled = recall([wanted], GROUND, written(plan))
    assert recalled.kept[unit] == plan.records[unit]


def test_gpus_that_share_a_layer_are_named_as_llama_cpp_names_their_memory(figures: GetFigures) -> None:
    flags = (("cache-type-k", "q8_0"), ("cache-type-v", "q8_0"), ("no-op-offload", True))
    wanted = wish("a", context_tokens=131072, flags=flags)
    plan = place({wanted: figures("qwen3-30b-a3b")})
    record = plan.records[wanted.unit]
    assert [layer for layer, _ in record.feed_forward_on_next_device] == [record.devices[0].layers - 1]
    found = plan.layouts[wanted.unit].flags
    assert found[found.index("--override-tensor") + 1].endswith("=CUDA1")
    assert recall([wanted], GROUND, written(plan)).kept[wanted.unit] == record


def test_a_file_from_before_there_were_such_weights_is_stale_not_damaged(figures: GetFigures) -> None:
    [text] = written(place({wish("a"): figures("qwen3-4b")})).values()
    body = json.loads(text)
    del body["feed_forward_in_ram"], body["hash"]
    body["made_from"]["generator"] = 2
    older = json.dumps({**body, "hash": config_hash(body)})
    plan = place({wish("a"): figures("qwen3-4b")}, {wish("a").unit: older})
    assert plan.warnings == ()
    assert [operation.cause for operation in plan.operations] == ["other generator"]


def test_shares_are_whole_layers(figures: GetFigures) -> None:
    flags = place({wish("a", shares=(75, 25)): figures("qwen2.5-7b")}).layouts[wish("a").unit].flags
    counts = [int(count) for count in flags[flags.index("--tensor-split") + 1].split(",")]
    assert sum(counts) == 29
    assert counts[0] > 2 * counts[1]


def test_devices_of_other_machines_are_named_after_the_gpus(figures: GetFigures) -> None:
    far = Device(DeviceKind.RPC, "10.0.0.5:50052", "rpc 10.0.0.5:50052", Bytes(12 * GIB), 100e9)
    ground = replace(GROUND, devices=(GROUND.devices[0], far), ram=Bytes(8 * GIB))
    layout = place({wish("a", shares=(60, 40)): figures("qwen2.5-7b")}, ground=ground).layouts[wish("a").unit]
    assert layout.flags[:4] == ("--rpc", "10.0.0.5:50052", "--device", "CUDA0,RPC0")
    assert layout.visible == ("GPU-a",)
    assert layout.peers == ("10.0.0.5:50052",)


def test_without_a_header_all_layers_go_to_the_profiles_gpus(figures: GetFigures) -> None:
    wanted = wish("a", shares=(70, 30))
    plan = settle([wanted], GROUND, recall([wanted], GROUND, {}), {wanted.unit: Unread("the hub is away")})
    assert plan.layouts[wanted.unit].flags == (
        ("--gpu-layers", "999", "--split-mode", "layer", "--tensor-split", "70,30")
    )
    assert plan.operations == ()
    assert "the hub is away" in plan.warnings[0]


def test_cache_types_that_the_model_cannot_have_are_refused(figures: GetFigures) -> None:
    for kind, says in (("q8_1x", "is no cache type"), ("q4_k", "heads of 256")):
        wanted = wish("a", flags=(("cache-type-k", kind),))
        blocked = place({wanted: figures("qwen2.5-7b")}).layouts[wanted.unit].blocked
        assert blocked is not None
        assert says in blocked[0]


def test_prompt_caches_beyond_the_ram_are_told(figures: GetFigures) -> None:
    hungry = wish("a", cache_ram=Bytes(80 * GIB))
    assert any("prompt caches" in warning for warning in place({hungry: figures("qwen3-4b")}).warnings)
