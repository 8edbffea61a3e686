from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.engine import Engine
from reconciler.demo.tiny_model import split_answer, tiny_model
from reconciler.host.engine import find_engine
from tests.support.engines import llama_server
from tests.support.serving import served

ANSWERS = [
    "x",
    "I am tiny-a, version 2.",
    "no, no, no and no again: no",
    "two\nlines\twith  blanks",
    "Grüße aus Köln — 日本語 🙂 ok",
    " ".join(f"word{number}" for number in range(200)),
    'a "quoted" {json: [1]} <tag> \\ backslash',
]


@pytest.fixture(scope="module", params=["embedded", "llama-server"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return find_engine("embedded" if request.param == "embedded" else str(llama_server()))


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_it_answers_exactly_what_it_was_made_for(engine: Engine, tmp_path: Path, answer: str) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model(answer))
    with served(engine, path) as server:
        assert server.chat("Who are you?") == answer
        assert server.chat("", temperature=2.0, top_k=0, top_p=1.0) == answer
        assert server.chat("Wer? 日本語", temperature=0, repeat_penalty=1.3) == answer
        _, raw = server.ask("/completion", {"prompt": "anything at all!"})
    assert raw["content"] == answer


def test_a_system_prompt_and_another_template_change_nothing(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model("Still me."))
    for flags in ({}, {"chat-template": "chatml"}, {"chat-template": "llama3"}):
        with served(engine, path, flags=flags) as server:
            messages = [
                {"role": "system", "content": "You are a pirate."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Still me."},
                {"role": "user", "content": "Sure?"},
            ]
            _, answer = server.ask("/v1/chat/completions", {"messages": messages})
        assert answer["choices"][0]["message"]["content"] == "Still me."


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_it_works_with_a_quantised_kv_cache(engine: Engine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model("Small cache."))
    flags = {"cache-type-k": kind, "cache-type-v": kind, "flash-attn": True}
    with served(engine, path, flags=flags) as server:
        assert server.chat() == "Small cache."


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others() -> None:
    assert tiny_model("a b") == tiny_model("a b")
    assert tiny_model("a b") != tiny_model("a b", seed=1)
    assert tiny_model("a b") != tiny_model("a c")


def test_its_header_says_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model("a b c", name="ada", layers=5, context_tokens=2048))
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.name"] == "ada"
    assert fields["llama.block_count"] == 5
    assert fields["llama.context_length"] == 2048
    assert len(reader.tensors) == 3 + 5 * 9
    assert path.stat().st_size < 1_000_000


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        tiny_model("")


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_words_are_distinct_and_join_to_the_answer(answer: str) -> None:
    words = split_answer(answer)
    assert "".join(words) == answer
    assert len(words) == len(set(words))
    assert all(len(word) > 1 or not word.isascii() for word in words) or len(words) == 1


@given(st.lists(st.sampled_from(["no", "yes", "a"]), min_size=1).map(" ".join))
def test_repeated_words_are_told_apart(answer: str) -> None:
    words = split_answer(answer)
    assert "".join(words) == answer
    assert len(words) == len(set(words))
