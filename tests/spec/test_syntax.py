"""What is no YAML, or more of it than is sane."""

import time

import pytest

from reconciler.core.errors import SpecError
from reconciler.core.limits import MAXIMUM_SPEC_FILE
from reconciler.spec.load import load
from reconciler.spec.syntax import parse


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", {}),
        ("# only a comment\n", {}),
        ("---\n", {}),
        ("\ufeffmodels: []\n", {"models": []}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: no\nb: on\nc: 12:30:45\nd: 1_000\n", {"a": "no", "b": "on", "c": "12:30:45", "d": "1_000"}),
        (
            "a: 2025-11-17\nb: 2025-11-17-01\nc: 1.2.3\n",
            {"a": "2025-11-17", "b": "2025-11-17-01", "c": "1.2.3"},
        ),
        ("a: &x [1, 2]\nb: *x\n", {"a": [1, 2], "b": [1, 2]}),
        ("a: R&D *bold* text\n", {"a": "R&D *bold* text"}),
    ],
)
def test_texts_that_read(text, data):
    assert parse("f.yaml", text).data == data


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("a: b: c", "1:5", "a second `:`"),
        ("a: 1\n b: 2", "2:3", "a second `:`"),
        ("a:\n\tb: 1", "2:1", "a tab cannot indent"),
        ("a: 1\n\tb: 2", "2:1", "a tab cannot indent"),
        ("a: |\n\tx\n", "2:1", "a tab cannot indent"),
        ("a: 'x\n", "1:4", "a quote is opened here and never closed"),
        ('é: "\\q"', "1:5", "this escape is unknown"),
        ("a: [1, 2\nb: 3\n", "1:4", "not closed with `]`"),
        ("a: {b: 1\nc: 2", "1:4", "not closed with `}`"),
        ("a: [\n", "2:1", "a value is missing here"),
        ("a:\n  - b\n c: 1", "3:2", "does not line up with the keys above"),
        ("a:\n - b\n c: d\n", "3:2", "does not line up with the list above"),
        ('a: "x" y', "1:8", "does not belong to the value before it"),
        ("a: 1\nb\nc: 2\n", "2:1", "neither `key: value` nor a list item"),
        ("a: @x", "1:4", "text that begins with `@` needs quotes"),
        ("a: *", "1:5", "begins with `*` or `&` needs quotes"),
        ("a: - b", "1:4", "a list item must begin on a line of its own"),
        ("a: |x\n y", "1:5", "nothing may follow `|` or `>`"),
        ("a: !<x", "1:4", "never closed"),
        ("{a: 1}}", "1:7", "nothing may follow here"),
        ("%x", "1:3", "unknown directive"),
        ("a: 1\nü: 2\r\na: 3", "3:1", "the key `a` stands twice; first in line 1"),
        ("x:\n  - {a: 1, 'a': 2}", "2:12", "the key `a` stands twice"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second YAML document begins here"),
        ("[1, 2]: a", "1:1", "a mapping or list stands where a key is expected"),
        ("a: *nope", "1:4", "no anchor `&nope` stands before this alias"),
        ("a: &a [*a]", "1:8", "stands inside the value that it repeats"),
        ("- a\n- b\n", "1:1", "the file holds a list"),
        ("# c\n\n  just text\n", "3:3", "the file holds a single value"),
        ("ä: \x00", "1:4", "U+0000"),
        ("a: 1\nb: x\x07", "2:5", "U+0007"),
        ("a: \ud800", "1:4", "U+D800"),
        ("a: x\ufeff", "1:5", "U+FEFF"),
        ("a: " + "9" * 30, "1:4", "is too large"),
        ("[" * 100, "1:65", "more than 64 mappings and lists"),
        ("- " * 200 + "a", "1:129", "more than 64 mappings and lists"),
    ],
)
def test_texts_that_are_refused_name_the_place(text, place, says):
    with pytest.raises(SpecError) as refused:
        parse("f.yaml", text)
    assert str(refused.value.where) == f"f.yaml:{place}"
    assert says in refused.value.what
    assert "\n" not in refused.value.what


@pytest.mark.parametrize("depth", [65, 100, 200, 100_000])
def test_nothing_deeper_than_the_bound_loads(depth):
    """The spec's own shape is closed and eight deep; deeper texts fail by that or by the bound."""
    began = time.monotonic()
    for opening, closing in (("[", "]"), ("{a: ", "}"), ("[{a: ", "}]")):
        with pytest.raises(SpecError):
            load({"f.yaml": "models: " + opening * depth + closing * depth})
    assert time.monotonic() - began < 5


def test_brackets_in_a_prompt_are_no_depth():
    assert parse("f.yaml", "a: |\n  " + "[{" * 500 + "\n").data == {"a": "[{" * 500 + "\n"}


def test_a_file_over_the_limit_is_refused():
    with pytest.raises(SpecError, match="larger than 8 MiB"):
        parse("f.yaml", "# " + "x" * MAXIMUM_SPEC_FILE)


@pytest.mark.parametrize("levels", [5, 6, 9])
def test_an_alias_bomb_is_refused_at_once(levels):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    began = time.monotonic()
    with pytest.raises(SpecError, match="repeat too many values") as refused:
        parse("f.yaml", "\n".join(lines))
    assert refused.value.where is not None
    assert refused.value.where.line is not None
    assert time.monotonic() - began < 1


def test_one_long_list_repeated_often_is_refused():
    text = "a: &a [" + "x, " * 100_000 + "x]\n" + "".join(f"b{n}: *a\n" for n in range(50))
    with pytest.raises(SpecError, match=r"`\*a` repeat too many values") as refused:
        parse("f.yaml", text)
    assert str(refused.value.where) == "f.yaml:3:5"


def test_a_small_value_may_be_repeated_for_every_model():
    text = "a: &a {b: 1, c: [2, 3]}\n" + "".join(f"k{n}: *a\n" for n in range(10_000))
    assert parse("f.yaml", text).data["k9999"] == {"b": 1, "c": [2, 3]}
