"""Data written as YAML is read back as the same data, by our reader and by another."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.spec.render import render
from reconciler.spec.syntax import parse

TRICKY = (
    "a\nb",
    "a\n\nb\n",
    "a \nb",
    "x: y\n- z",
    "#c\nd",
    " a\nb",
    "a\n b\n",
    "---\nb",
    "a\n---\nb",
    "a\n\n",
    "on",
)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(TRICKY)
LEAVES = TEXTS | st.integers(-99, 99) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    text = render(data)
    assert parse("spec.yaml", text).data == data
    assert YAML(typ="safe", pure=True).load(text) == data


def test_a_prompt_stands_there_as_it_was_written() -> None:
    assert render({"personas": [{"id": "a", "system_prompt": "One.\n\nTwo.\n"}]}) == (
        "personas:\n  - id: a\n    system_prompt: |\n      One.\n\n      Two.\n"
    )


@pytest.mark.parametrize("text", ["\ta\nb", "a\r\nb", "a\x07\nb", "a\u2028\nb"])
def test_text_that_a_literal_block_would_change_is_quoted(text: str) -> None:
    written = render({"text": text})
    assert "|" not in written
    assert parse("spec.yaml", written).data == {"text": text}
