import pytest

from reconciler.core.errors import FormatError, SpecError
from reconciler.gguf.header import GgufHeader, Value
from reconciler.gguf.types import tensor_type
from reconciler.placement.architecture import Cache, read_architecture
from reconciler.placement.kv import cache_bytes
from reconciler.placement.settings import Settings


def header(name: str, **keys: Value) -> GgufHeader:
    """A header with metadata alone; `__` in a key stands for a dot."""
    base: dict[str, Value] = {"block_count": 8, "embedding_length": 512, "attention__head_count": 8}
    metadata: dict[str, Value] = {"general.architecture": name}
    metadata |= {f"{name}.{key.replace('__', '.')}": value for key, value in (base | keys).items()}
    return GgufHeader(3, metadata, {"tokenizer.ggml.tokens": 1000}, (), 0, 32)


def caches(name: str, **keys: Value) -> list[Cache]:
    return [layer.cache for layer in read_architecture(header(name, **keys)).layers]


FULL, WINDOW, NONE = Cache.FULL, Cache.WINDOW, Cache.NONE


def test_key_and_value_length_come_from_the_width_unless_given():
    plain = read_architecture(header("llama", attention__head_count_kv=2)).layers[0]
    assert (plain.key_width, plain.value_width) == (128, 128)
    given = header("qwen3", attention__head_count_kv=4, attention__key_length=128, attention__value_length=64)
    layer = read_architecture(given).layers[0]
    assert (layer.key_width, layer.value_width) == (512, 256)


def test_heads_per_layer_are_taken_per_layer():
    architecture = read_architecture(header("deci", attention__head_count_kv=(8, 8, 4, 4, 2, 2, 0, 1)))
    assert [layer.heads_kv for layer in architecture.layers] == [8, 8, 4, 4, 2, 2, 0, 1]
    assert architecture.layers[6].cache is NONE


def test_an_unknown_architecture_gets_the_general_formula_and_says_so():
    architecture = read_architecture(header("next-years-model", attention__head_count_kv=2))
    assert not architecture.exact
    assert {layer.cache for layer in architecture.layers} == {FULL}
    assert cache_bytes(architecture, Settings(4096)) == (4096 * 2 * 128 * 2,) * 8


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("gemma3", {"attention__sliding_window": 1024}, [WINDOW] * 5 + [FULL] + [WINDOW] * 2),
        ("gemma3", {}, [FULL] * 8),
        ("gpt-oss", {"attention__sliding_window": 128}, [WINDOW, FULL] * 4),
        ("llama4", {}, [WINDOW, WINDOW, WINDOW, FULL] * 2),
        ("llama4", {"attention__sliding_window": 0}, [FULL] * 8),
        ("cohere2moe", {"attention__sliding_window": 4096}, [FULL, WINDOW, WINDOW, WINDOW] * 2),
        ("phi3", {"attention__sliding_window": 2047}, [FULL] * 8),
        ("exaone4", {"attention__sliding_window": 4096}, [FULL] * 8),
        (
            "gemma4",
            {
                "attention__sliding_window": 512,
                "attention__sliding_window_pattern": (True, False) * 4,
                "attention__shared_kv_layers": 4,
            },
            [WINDOW, FULL, WINDOW, FULL] + [NONE] * 4,
        ),
        ("qwen3next", {"attention__head_count_kv": 2}, [NONE, NONE, NONE, FULL] * 2),
        (
            "granitehybrid",
            {"attention__head_count_kv": (0, 0, 4, 0, 0, 0, 4, 0)},
            [NONE, NONE, FULL, NONE, NONE, NONE, FULL, NONE],
        ),
        ("falcon-h1", {}, [FULL] * 8),
        ("mamba2", {"attention__head_count": 0}, [NONE] * 8),
        ("bert", {}, [NONE] * 8),
        ("glm4moe", {"nextn_predict_layers": 1}, [FULL] * 7 + [NONE]),
    ],
)
def test_what_each_layer_keeps(name, keys, expected):
    assert caches(name, **keys) == expected
    assert read_architecture(header(name, **keys)).exact


def test_state_of_recurrent_layers_counts_per_slot_and_not_per_token():
    hybrid = header(
        "granitehybrid",
        attention__head_count_kv=(0,) * 7 + (8,),
        ssm__conv_kernel=4,
        ssm__inner_size=1024,
        ssm__state_size=128,
        ssm__group_count=1,
    )
    architecture = read_architecture(hybrid)
    state = 4 * (3 * (1024 + 2 * 128) + 128 * 1024)
    for context in (4096, 65536):
        assert cache_bytes(architecture, Settings(context))[0] == state
    assert cache_bytes(architecture, Settings(8192, parallel=4))[0] == 4 * state


def test_compressed_keys_are_kept_alone():
    latent = header(
        "deepseek2",
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
        attention__kv_lora_rank=512,
    )
    assert cache_bytes(read_architecture(latent), Settings(4096))[0] == 4096 * 576 * 2


@pytest.mark.parametrize(
    ("settings", "cells"),
    [
        (Settings(4096), 4096),
        (Settings(5000), 5120),
        (Settings(8192, parallel=3), 3 * 2816),
        (Settings(8192, parallel=4, unified=True), 8192),
    ],
)
def test_the_context_is_padded_as_llama_cpp_does(settings, cells):
    assert settings.total_context == cells


@pytest.mark.parametrize(
    ("settings", "cells"),
    [
        (Settings(32768), 1536),
        (Settings(32768, parallel=4), 1536),
        (Settings(32768, parallel=4, unified=True), 4608),
        (Settings(1024), 1024),
        (Settings(32768, swa_full=True), 32768),
    ],
)
def test_a_window_keeps_its_tokens_and_one_step(settings, cells):
    assert settings.window_cells(1024) == cells


def test_a_cache_type_that_cannot_hold_the_heads_is_refused():
    odd = read_architecture(header("llama", embedding_length=8 * 80, attention__head_count_kv=1))
    assert cache_bytes(odd, Settings(4096, type_k=tensor_type("f16")))
    with pytest.raises(SpecError, match="takes heads of 32 elements, this model's have 80"):
        cache_bytes(odd, Settings(4096, type_k=tensor_type("q8_0")))


def test_quantised_values_need_flash_attention():
    plain = read_architecture(header("llama"))
    with pytest.raises(SpecError, match="needs flash attention"):
        cache_bytes(plain, Settings(4096, type_v=tensor_type("q8_0"), flash_attention=False))


@pytest.mark.parametrize(
    "broken",
    [
        header("llama", block_count=0),
        header("llama", block_count=2**40),
        header("llama", embedding_length=0),
        header("llama", block_count="many"),
        header(""),
    ],
    ids=["no layers", "absurd layers", "no width", "layers as text", "no architecture"],
)
def test_metadata_of_no_model_is_refused_with_a_hint(broken):
    with pytest.raises(FormatError) as caught:
        read_architecture(broken)
    assert caught.value.hint
