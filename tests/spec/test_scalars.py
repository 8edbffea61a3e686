"""Values written as YAML are read back as themselves, here and by readers of YAML 1.1."""

import pytest
import ryaml
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.spec.scalars import block, flow, scalar

VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=30)


@given(VALUES, st.sampled_from([None, "'", '"', "|"]))
@example("no", None)
@example("2025-11-17", None)
@example("1e5", None)
@example("0e" + "1" * 62, None)
@example("~", None)
@example("'\"\\", "'")
@example("a\nb", "'")
@example("\x85\u2028\ufeff\U0001f600\x00", '"')
def test_a_value_survives(value, style):
    text = scalar(value, style)
    assert "\n" not in text
    for context in (f"k: {text}\n", f"{{k: {text}, l: 1}}\n"):
        assert ryaml.loads(context)["k"] == value
        assert yaml.safe_load(context)["k"] == value


@given(st.dictionaries(st.text(max_size=6), VALUES | st.lists(VALUES, max_size=3), min_size=1, max_size=4))
def test_mappings_survive_in_a_line_and_over_lines(mapping):
    assert ryaml.loads("k: " + flow(mapping))["k"] == mapping
    assert ryaml.loads("- " + block(mapping, "  ", "\n")) == [mapping]
    nested = {"outer": mapping}
    assert ryaml.loads("- " + block(nested, "  ", "\r\n") + "\r\n") == [nested]


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        ("ab" * 32, None, "ab" * 32),
        ("1" * 64, None, f'"{"1" * 64}"'),
        ("hf://org/repo/file-q4_0.gguf", None, "hf://org/repo/file-q4_0.gguf"),
        ("2025-11-17-01", None, '"2025-11-17-01"'),
        ("v2", None, "v2"),
        ("v2", "'", "'v2'"),
        ("it's", "'", "'it''s'"),
        ("v2", '"', '"v2"'),
        ("a: b", None, '"a: b"'),
        (True, None, "true"),
        (None, None, "null"),
    ],
)
def test_how_values_look(value, style, text):
    assert scalar(value, style) == text
