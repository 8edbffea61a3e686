"""llama-swap configurations, with macros, aliases and what they have that a spec has not."""

import pytest

from reconciler.core.errors import FormatError, SpecError
from reconciler.imports.found import Found
from reconciler.imports.llama_swap import Surroundings, read_llama_swap

CONFIG = """
healthCheckTimeout: 500
startPort: 10001
globalTTL: 600
macros:
  "latest-llama": >
    /opt/llama/llama-server
    --port ${PORT}
  "default_ctx": 4096
  "default_args": "--ctx-size ${default_ctx}"
  "models": "${env.MODELS}/gguf"
hooks:
  on_startup:
    preload: [small]
groups:
  both: {swap: false, members: [small, "org/big:Q4"]}
models:
  "org/big:Q4":
    macros: {default_ctx: 16384}
    name: "Big 120B"
    description: "Thinks."
    cmd: |
      # ${not-a-macro} in a comment
      ${latest-llama} ${default_args} \\
      --model ${models}/big.gguf
      --temp 0.7
    ttl: 60
    aliases: [gpt-4o-mini, {id: "gpt-4o", name: x}]
    env: ["CUDA_VISIBLE_DEVICES=0", "LLAMA_ARG_N_PARALLEL=2"]
    filters: {stripParams: "temperature"}
  small:
    cmd: llama-server --port 9001 -m small.gguf -c 2048
    proxy: http://127.0.0.1:9001
    ttl: 0
  docker:
    cmd: docker run --name ${MODEL_ID} -p ${PORT}:8080 ghcr.io/ggml-org/llama.cpp:server -m /a.gguf
  lost:
    cmd: ${nothing} -m a.gguf
"""


def read(text: str = CONFIG, environment: dict[str, str] | None = None) -> Found:
    around = Surroundings("/etc/swap/config.yaml", "/etc/swap", environment or {"MODELS": "/mnt"}, {})
    return read_llama_swap(text, around)


def test_commands_are_read_with_their_macros() -> None:
    big, small = read().models
    assert (big.id, big.display_name, big.notes) == ("org-big-Q4", "Big 120B", "Thinks.")
    assert big.gguf_url == "file:///mnt/gguf/big.gguf"
    assert (big.context_tokens, big.parallel, big.port) == (8192, 2, None)
    assert big.flags == {"temp": 0.7}
    assert (small.gguf_url, small.port, small.context_tokens) == ("file:///etc/swap/small.gguf", 9001, 2048)


def test_what_was_swapped_is_on_demand_and_what_was_preloaded_is_kept() -> None:
    assert [model.residency for model in read().models] == ["on_demand", "always"]


def test_aliases_become_personas() -> None:
    assert [(one.id, one.base) for one in read().personas] == [
        ("gpt-4o-mini", "org-big-Q4"),
        ("gpt-4o", "org-big-Q4"),
    ]


def test_what_a_spec_cannot_say_is_said() -> None:
    found = read()
    said = [str(remark) for remark in found.remarks]
    assert any(line.startswith("org/big:Q4: it was unloaded after 1m without requests") for line in said)
    assert any("filters" in line for line in said)
    assert any("small: its `proxy` address" in line for line in said)
    assert any("`settings.ready_timeout: 500s`" in line for line in said)
    assert any("startPort" in line for line in said)
    assert any("which models may run together" in line for line in said)
    assert not any("small: it was unloaded" in line for line in said)
    assert [one.subject for one in found.left_out] == ["docker", "lost"]
    assert "container" in found.left_out[0].text
    assert "${nothing} stands for nothing" in found.left_out[1].text


@pytest.mark.parametrize(
    ("macros", "why"),
    [
        ('{a: "${b}", b: "${a}"}', "hold themselves"),
        ('{a: "${b}${b}", b: "xxxxxxxxxxxxxxxxxxxx${a}${a}"}', "more than 64 KiB"),
        ('{a: "${env.NOT_SET_ANYWHERE}"}', "NOT_SET_ANYWHERE is not set"),
        ("[1]", "no mapping"),
    ],
)
def test_macros_always_end(macros: str, why: str) -> None:
    text = f'models: {{m: {{macros: {macros}, cmd: "llama-server -m ${{a}}"}}}}'
    assert why in read(text).left_out[0].text


@pytest.mark.parametrize("text", ["[]", "models: []", "{}", "models: {a: 5, b: {cmd: [1]}}"])
def test_other_files_are_refused(text: str) -> None:
    try:
        found = read(text)
    except (FormatError, SpecError):
        return
    assert not found.models
    assert len(found.left_out) == 2
