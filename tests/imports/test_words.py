"""Command lines are split as the programs that ran them would."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import FormatError
from reconciler.imports.words import command_words, pm2_words

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-m a.gguf -c 4096", ("-m", "a.gguf", "-c", "4096")),
        ("-m 'my model.gguf'  -np 2", ("-m", "my model.gguf", "-np", "2")),
        ('-m "my model.gguf"\n--port 1', ("-m", "my model.gguf", "--port", "1")),
        ('--x="two words"', ('--x="two words"',)),
        ("", ()),
    ],
)
def test_pm2_groups_by_quotes(text: str, words: tuple[str, ...]) -> None:
    assert pm2_words(text) == words


@given(st.lists(PLAIN.filter(lambda word: not set(word) & set("\"'="))))
def test_words_without_quotes_are_what_blanks_separate(words: list[str]) -> None:
    assert pm2_words(" ".join(words)) == tuple(words)


@given(st.lists(PLAIN.filter(lambda word: not word.startswith("#") and "\\" not in word)))
def test_what_a_shell_would_quote_is_read_back(words: list[str]) -> None:
    assert command_words(shlex.join(words)) == tuple(words)


def test_comments_and_continued_lines_are_llama_swaps() -> None:
    text = "# the server\nllama-server \\\n  -m 'a b.gguf'\n  # what follows\n  -c 4096 # 5\n"
    assert command_words(text) == ("llama-server", "-m", "a b.gguf", "-c", "4096", "#", "5")


def test_an_open_quote_is_a_fault_with_words() -> None:
    with pytest.raises(FormatError, match="its command cannot be read"):
        command_words("llama-server -m 'a")
