"""A llama-server's command line becomes settings of the spec, and nothing of it is lost without a word."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.engine import EngineFlag, read_help
from reconciler.core.errors import FormatError
from reconciler.imports.server import Home, Served, read_server, server_arguments

HELP = """\
-fa,   --flash-attn [on|off|auto]       set Flash Attention use
-kvu,  --kv-unified                     use a single unified KV cache
-t,    --threads N                      number of CPU threads
--jinja, --no-jinja                     use jinja template
-ot,   --override-tensor <PATTERN>=<TYPE>,...  override tensor buffer type
--temp, --temperature N                 temperature
"""
KNOWN: dict[str, EngineFlag] = read_help(HELP)[0]


def read(
    *words: str, env: dict[str, str] | None = None, known: dict[str, EngineFlag] | None = None
) -> Served:
    return read_server("app", words, Home("/srv/models", env or {}, KNOWN if known is None else known))


@given(total=st.integers(1, 10**6), slots=st.integers(1, 64))
def test_each_slot_gets_its_part_of_the_context(total: int, slots: int) -> None:
    words = ("-m", "/a.gguf", "-c", str(total), "-np", str(slots))
    if total < slots:
        with pytest.raises(FormatError, match="less than its"):
            read(*words)
        return
    served = read(*words)
    assert served.model.context_tokens == total // slots
    assert served.model.parallel == slots
    assert any("no multiple" in remark for remark in served.remarks) == bool(total % slots)


def test_with_one_cache_for_all_each_slot_may_use_all_of_it() -> None:
    served = read("-m", "/a.gguf", "-c", "8192", "-np", "4", "-kvu")
    assert (served.model.context_tokens, served.model.flags) == (8192, {"kv-unified": True})


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (("-m", "/m/a.gguf"), "file:///m/a.gguf"),
        (("--model", "../my 100%.gguf"), "file:///srv/my%20100%25.gguf"),
        (("--model=/m/a.gguf",), "file:///m/a.gguf"),
        (("-hfr", "org/repo", "-hff", "a.gguf"), "hf://org/repo/a.gguf"),
        (("-mu", "https://host/a.gguf"), "https://host/a.gguf"),
    ],
)
def test_the_source_is_what_the_command_names(words: tuple[str, ...], source: str) -> None:
    assert read(*words).model.gguf_url == source


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (("-fa",), {"flash-attn": True}),
        (("-fa", "on"), {"flash-attn": "on"}),
        (("-t", "8", "--jinja"), {"threads": 8, "jinja": True}),
        (("--temp", "0.70"), {"temp": "0.70"}),
        (("--temp", "-1"), {"temp": -1}),
        (("-ot", "a=CPU", "-ot", "b=CPU"), {"override-tensor": ["a=CPU", "b=CPU"]}),
        (("-t", "4", "-t", "8"), {"threads": 8}),
        (("-ngl", "auto"), {}),
        (("--fit", "on", "--fit-target", "1024"), {}),
        (("--metrics", "--offline", "--fit", "off"), {}),
    ],
)
def test_other_flags_are_kept_under_their_long_name(words: tuple[str, ...], flags: dict[str, Any]) -> None:
    assert read("-m", "/a.gguf", *words).model.flags == flags


def test_companions_come_along() -> None:
    model = read(
        *("-m", "a.gguf", "--mmproj", "p.gguf", "-md", "d.gguf", "--lora", "l.gguf"),
        *("--lora-scaled", "s.gguf", "0.5", "--embeddings"),
    ).model
    assert model.mmproj == {"url": "file:///srv/models/p.gguf"}
    assert model.draft == {"url": "file:///srv/models/d.gguf"}
    assert model.loras == (
        {"url": "file:///srv/models/l.gguf"},
        {"url": "file:///srv/models/s.gguf", "scale": 0.5},
    )
    assert model.embedding


def test_what_cannot_be_taken_over_is_said_and_a_key_is_never_shown() -> None:
    everywhere = ("--host", "0.0.0.0")  # noqa: S104 - as others do
    served = read("-m", "/a.gguf", *everywhere, "--api-key", "geheim", "--newer", "x")
    said = "\n".join(served.remarks)
    assert "listens on 0.0.0.0" in said
    assert "--api-key is left out" in said
    assert "does not know --newer" in said
    assert "geheim" not in f"{said}{served.model}"


@pytest.mark.parametrize("known", [{}, KNOWN])
def test_a_command_that_says_what_lies_where_goes_on_saying_it(known: dict[str, EngineFlag]) -> None:
    served = read(
        *("-m", "/a.gguf", "-ngl", "99", "-ts", "3,1", "-sm", "row", "-mg", "0", "-ot", "exps=CPU"),
        *("-dev", "CUDA0,CUDA1"),
        known=known,
    )
    assert served.model.strategy == "manual"
    assert served.model.flags == {
        "gpu-layers": 99,
        "tensor-split": "3,1",
        "split-mode": "row",
        "main-gpu": 0,
        "override-tensor": "exps=CPU",
        "device": "CUDA0,CUDA1",
    }


def test_without_such_flags_placement_decides_or_llama_cpp_itself() -> None:
    assert read("-m", "/a.gguf", "-c", "4096").model.strategy is None
    assert read("-m", "/a.gguf", "--fit", "on").model.strategy == "fit"
    assert read("-m", "/a.gguf", env={"LLAMA_ARG_N_GPU_LAYERS": "20"}).model.strategy == "manual"


def test_slots_that_nobody_named_are_said() -> None:
    assert any("does not say --parallel" in line for line in read("-m", "/a.gguf").remarks)
    assert not any("--parallel" in line for line in read("-m", "/a.gguf", "-np", "1").remarks)


def test_variables_stand_behind_the_argv() -> None:
    env = {"LLAMA_ARG_CTX_SIZE": "1024", "LLAMA_ARG_PORT": "9001", "LLAMA_ARG_MLOCK": "1", "HOME": "/root"}
    served = read("-m", "/a.gguf", "-c", "2048", env=env)
    assert (served.model.context_tokens, served.model.port) == (2048, 9001)
    assert [remark for remark in served.remarks if "LLAMA_ARG_MLOCK" in remark]


def test_a_key_in_a_variable_is_named_and_never_shown() -> None:
    served = read("-m", "/a.gguf", env={"LLAMA_API_KEY": "geheim", "GGML_CUDA_FORCE_MMQ": "1"})
    said = "\n".join(served.remarks)
    assert "LLAMA_API_KEY is not taken over" in said
    assert "GGML_CUDA_FORCE_MMQ is not taken over" in said
    assert "geheim" not in f"{said}{served.model}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--port", "1"), "names no model"),
        (("-hf", "org/repo:Q4_K_M"), "whichever file of org/repo:Q4_K_M"),
        (("-m", "a.gguf", "-c", "many"), "--ctx-size many is no number"),
        (("-m", "a.gguf", "--port", "99999"), "its port 99999 is none"),
        (("-m",), "lacks a value"),
    ],
)
def test_a_command_without_sense_is_refused_with_the_reason(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(FormatError, match=why):
        read(*words)


@given(
    st.lists(
        st.text(max_size=8) | st.sampled_from(["-m", "-c", "-np", "--lora-scaled", "--port", "=", "--a=b"])
    )
)
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    with suppress(FormatError):
        assert read("-m", "/a.gguf", *words).model.parallel >= 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("node", "bot.js"), "no llama-server"),
        (("docker", "run", "ghcr.io/ggml-org/llama.cpp:server", "-m", "/a"), "in a container"),
        (("bash", "-c", "llama-server -m a"), "through a shell"),
        ((), "no llama-server"),
        (("vllm", "serve", "-m", "llama-server"), "no llama-server"),
    ],
)
def test_other_programs_are_left_alone(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(FormatError, match=why):
        server_arguments(words)


def test_what_stands_before_the_server_is_told_apart() -> None:
    assert server_arguments(("taskset", "-c", "0-3", "/opt/llama-server", "-m", "a")) == (
        ("taskset", "-c", "0-3"),
        ("-m", "a"),
    )
