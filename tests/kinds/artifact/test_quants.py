"""Which file of a repository is meant by a quantisation. Names as they are on the hub."""

import pytest

from reconciler.kinds.artifact.quants import matching, models, next_version_id

QWEN = (
    "README.md",
    "qwen2.5-coder-7b-instruct-q4_0.gguf",
    "qwen2.5-coder-7b-instruct-q4_k_m.gguf",
    "qwen2.5-coder-7b-instruct-q8_0-00001-of-00003.gguf",
    "qwen2.5-coder-7b-instruct-q8_0-00002-of-00003.gguf",
    "qwen2.5-coder-7b-instruct-q8_0-00003-of-00003.gguf",
)
GEMMA = (
    "gemma-3-12b-it-IQ4_XS.gguf",
    "gemma-3-12b-it-Q4_0.gguf",
    "gemma-3-12b-it-Q4_0_4_4.gguf",
    "gemma-3-12b-it-Q4_K_M.gguf",
    "gemma-3-12b-it-UD-Q4_K_M.gguf",
    "mmproj-F16.gguf",
    "imatrix_unsloth.gguf",
    "BF16/gemma-3-12b-it-BF16-00001-of-00002.gguf",
    "BF16/gemma-3-12b-it-BF16-00002-of-00002.gguf",
)


@pytest.mark.parametrize(
    ("files", "quant", "expected"),
    [
        (QWEN, "Q4_K_M", {"qwen2.5-coder-7b-instruct-q4_k_m.gguf"}),
        (QWEN, "q4_0", {"qwen2.5-coder-7b-instruct-q4_0.gguf"}),
        (QWEN, "q8_0", {"qwen2.5-coder-7b-instruct-q8_0-00001-of-00003.gguf"}),
        (QWEN, "q4", set()),
        (QWEN, "q4_k", set()),
        (GEMMA, "Q4_0", {"gemma-3-12b-it-Q4_0.gguf"}),
        (GEMMA, "Q4_XS", set()),
        (GEMMA, "Q4_K_M", {"gemma-3-12b-it-Q4_K_M.gguf", "gemma-3-12b-it-UD-Q4_K_M.gguf"}),
        (GEMMA, "UD-Q4_K_M", {"gemma-3-12b-it-UD-Q4_K_M.gguf"}),
        (GEMMA, "gemma-3-12b-it-Q4_K_M.gguf", {"gemma-3-12b-it-Q4_K_M.gguf"}),
        (GEMMA, "F16", set()),
        (GEMMA, "bf16", {"BF16/gemma-3-12b-it-BF16-00001-of-00002.gguf"}),
        (("model.Q5_K_S.gguf", "model_q5_k_m.gguf"), "q5_k_m", {"model_q5_k_m.gguf"}),
        (("a.(x).gguf",), "(x)", {"a.(x).gguf"}),
    ],
)
def test_a_quantisation_is_a_whole_word_of_the_name(
    files: tuple[str, ...], quant: str, expected: set[str]
) -> None:
    assert set(matching(files, quant)) == expected


def test_what_is_no_model_is_no_choice() -> None:
    assert models(GEMMA) == (
        "BF16/gemma-3-12b-it-BF16-00001-of-00002.gguf",
        "gemma-3-12b-it-IQ4_XS.gguf",
        "gemma-3-12b-it-Q4_0.gguf",
        "gemma-3-12b-it-Q4_0_4_4.gguf",
        "gemma-3-12b-it-Q4_K_M.gguf",
        "gemma-3-12b-it-UD-Q4_K_M.gguf",
    )


def test_a_version_is_named_for_its_day_and_numbered() -> None:
    assert next_version_id("2025-11-17", ()) == "2025-11-17-01"
    assert next_version_id("2025-11-17", {"2025-11-17-01", "2025-11-17-03", "v1"}) == "2025-11-17-02"
