"""Edits of a text keep every byte that they do not mean."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.core.errors import SpecError
from reconciler.spec.splice import append_item, remove_key, set_value
from reconciler.spec.syntax import parse


def edited(edit, text, *arguments, **options):
    return edit(parse("f.yaml", text), *arguments, **options).text


@pytest.mark.parametrize(
    ("text", "path", "value", "after", "result"),
    [
        ("a: 1\n", ("a",), "x", (), "a: x\n"),
        ("a: 1", ("a",), "x", (), "a: x"),
        ("a: 'one' # why\r\nb: 2\r\n", ("a",), "it's", (), "a: 'it''s' # why\r\nb: 2\r\n"),
        ('a:   "one"   # why\n', ("a",), "two", (), 'a:   "two"   # why\n'),
        ("a: plain\n  goes on\nb: 2\n", ("a",), "x y", (), 'a: "x y"\nb: 2\n'),
        ("a:\nb: 2\n", ("a",), "x", (), "a: x\nb: 2\n"),
        ("a: # later\nb: 2\n", ("a",), "x", (), "a: x # later\nb: 2\n"),
        ("a: null\n", ("a",), ("u", "v"), (), "a: [u, v]\n"),
        ("a: [x, y] # two\n", ("a",), ("z",), (), "a: [z] # two\n"),
        ("a: |\n  text\n\nb: 2\n", ("a",), "x", (), "a: x\n\nb: 2\n"),
        ("{a: 1, b: 2}", ("a",), "x", (), "{a: x, b: 2}"),
        ("é: {ü: 'ß'}\n", ("é", "ü"), "€", (), "é: {ü: '€'}\n"),
        # inserted
        ("a: 1\n# about c\nc: 3\n", ("b",), "x", ("a",), "a: 1\nb: x\n# about c\nc: 3\n"),
        ("a: 1 # one\r\nc: 3\r\n", ("b",), "x", ("a",), "a: 1 # one\r\nb: x\r\nc: 3\r\n"),
        ("a: 1", ("b",), "x", ("a",), "a: 1\nb: x"),
        ("m:\n    a: 1\n\n# end\n", ("m", "b"), "x", (), "m:\n    a: 1\n    b: x\n\n# end\n"),
        ("m:\n- a: |\n    t\n  c: 3\n", ("m", 0, "b"), "x", ("a",), "m:\n- a: |\n    t\n  b: x\n  c: 3\n"),
        ("m:\n- {a: 1, c: 3}\n", ("m", 0, "b"), "x", ("a",), "m:\n- {a: 1, b: x, c: 3}\n"),
        ("m: {a: 1}\n", ("m", "b"), "x", (), "m: {b: x, a: 1}\n"),
        ("m: {\n  a: 1, # one\n}\n", ("m", "b"), "x", ("a",), "m: {\n  a: 1, b: x, # one\n}\n"),
        ("m: {}\n", ("m", "b"), "x", (), "m: {b: x}\n"),
        ("m:\nz: 1\n", ("m", "b"), "x", (), "m:\n  b: x\nz: 1\n"),
        ("m: # none yet\nz: 1\n", ("m", "b"), "x", (), "m: # none yet\n  b: x\nz: 1\n"),
        ("m: ~\n", ("m", "b"), "x", (), "m: {b: x}\n"),
        ("z: 1\n", ("m", "b"), "x", (), "z: 1\nm:\n  b: x\n"),
        ("{z: 1}\n", ("m", "b"), "x", (), "{m: {b: x}, z: 1}\n"),
        ("# only a comment", ("m", "b"), "x", (), "# only a comment\nm:\n  b: x"),
        ("", ("m",), "x", (), "m: x\n"),
        ("a: [1]\nb: 'x'\n", ("c",), "1.5", ("nope", "a"), "a: [1]\nc: \"1.5\"\nb: 'x'\n"),
    ],
)
def test_a_value_is_set(text, path, value, after, result):
    assert edited(set_value, text, path, value, after=after) == result


ITEM = {"id": "v2", "url": "hf://o/r/f"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a:\n  - id: v1\n", "a:\n  - id: v1\n  - id: v2\n    url: hf://o/r/f\n"),
        ("a:\n- x: 1 # c\n# end\nb: 2\n", "a:\n- x: 1 # c\n- id: v2\n  url: hf://o/r/f\n# end\nb: 2\n"),
        (
            "a:\r\n  -   x: 1\r\n\r\nb: 2",
            "a:\r\n  -   x: 1\r\n  -   id: v2\r\n      url: hf://o/r/f\r\n\r\nb: 2",
        ),
        (
            "a:\n  - x: |\n      t\n  - {y: 1}",
            "a:\n  - x: |\n      t\n  - {y: 1}\n  - id: v2\n    url: hf://o/r/f",
        ),
        ("a:\n  -\n    x: 1\n", "a:\n  -\n    x: 1\n  - id: v2\n    url: hf://o/r/f\n"),
        ("a:\n  - x:\n", "a:\n  - x:\n  - id: v2\n    url: hf://o/r/f\n"),
        ("a: [{x: 1} ] # c\n", "a: [{x: 1}, {id: v2, url: hf://o/r/f} ] # c\n"),
        ("a: [\n  {x: 1},\n]\n", "a: [\n  {x: 1}, {id: v2, url: hf://o/r/f},\n]\n"),
    ],
)
def test_an_item_is_appended_as_its_siblings_look(text, result):
    assert edited(append_item, text, ("a",), ITEM) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("p:\n  a: 1\n  b: 2 # why\n\nz: 1\n", "p:\n  a: 1\n\nz: 1\n"),
        ("p:\n  # about b\n  b: 2\n", "p:\n  # about b\n"),
        ("p:\r\n  b: 2", "p:\r\n"),
        ("p: {a: 1, b: 2}\n", "p: {a: 1}\n"),
        ("p: {b: 2, c: 3}\n", "p: {c: 3}\n"),
        ("p: {b: 2}\n", "p: {}\n"),
        ("p: { 'b' : 2 , }\n", "p: { }\n"),
        ("p:\n  b: >\n    long\n  c: 3\n", "p:\n  c: 3\n"),
    ],
)
def test_a_key_is_removed_with_its_line(text, result):
    assert edited(remove_key, text, ("p", "b")) == result


@pytest.mark.parametrize(
    ("edit", "text", "arguments"),
    [
        (set_value, "a: &x 1\nb: *x\n", (("a",), 2)),
        (set_value, "a: &x {c: 1}\nb: *x\n", (("b", "c"), 2)),
        (set_value, "a: &x {c: 1}\nb: *x\n", (("a", "c"), 2)),
        (set_value, "a: !!str 1\n", (("a",), 2)),
        (set_value, "a:\n  - x\n  - y\n", (("a",), ("z",))),
        (append_item, "b: &x [{c: 1}]\na: *x\n", (("a",), ITEM)),
        (append_item, "a: &x\n  - c: 1\n", (("a",), ITEM)),
        (set_value, "a: |\n  the text ends here", (("b",), 2)),
        (remove_key, "x: &x {b: 1}\np: *x\n", (("p", "b"),)),
        (remove_key, "x: {a: &x 1}\np: {b: &y 2, c: *y}\n", (("p", "b"),)),
    ],
)
def test_what_would_change_more_is_refused(edit, text, arguments):
    with pytest.raises(SpecError, match="cannot be edited without changing more") as refused:
        edited(edit, text, *arguments)
    assert refused.value.hint == "edit it by hand"
    assert refused.value.where is not None


# Texts as people write them: the pieces of one model in any style, with noise between them.

KEYS = ("id", "current_version", "notes", "flags")
VALUES = st.sampled_from(
    ["v1", "'v1'", '"v 1"', "1.5", "", "null", "[a, b]", "{x: 1, y: [2]}", "|\n{i}  text\n{i}  more"]
)
COMMENTS = st.sampled_from(["", "", "  # why: [this] 'so'", "   ", "  # größer 😀"])
BETWEEN = st.sampled_from(["", "", "\n", "{i}# about the next\n", "   \n"])
ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def models(draw):
    """A text with `models: [{…}]` in block style at some indent, and the keys that stand in it."""
    indent = " " * draw(st.integers(0, 4))
    inner = indent + " " * draw(st.sampled_from([2, 2, 4]))
    keys = draw(st.permutations(KEYS).map(lambda keys: keys[: draw(st.integers(1, len(KEYS)))]))
    lines = ["models:" + draw(COMMENTS) + "\n"]
    for place, key in enumerate(keys):
        value = draw(VALUES).replace("{i}", inner)
        comment = "" if "\n" in value else draw(COMMENTS)
        start = (
            f"{indent}-{inner[len(indent) + 1 :]}"
            if place == 0
            else draw(BETWEEN).replace("{i}", inner) + inner
        )
        lines.append(f"{start}{key}:{' ' if value else ''}{value}{comment}\n")
    lines.append(
        draw(st.sampled_from(["", "\n", "# the end\n", "settings: {}\n", "settings:\n  store: x\n"]))
    )
    text = "".join(lines)
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    assume(not text.endswith("  more"))  # a line end there would be part of the value
    return text.replace("\n", draw(ENDS)), keys


def one_change(old, new):
    """What was cut out of the old text and what was put there, everything else being equal."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return old[start : len(old) - end], new[start : len(new) - end]


@given(models(), st.sampled_from([*KEYS, "revision"]), st.text(min_size=1, max_size=12))
@settings(max_examples=400, deadline=None)
def test_setting_a_value_in_any_text_changes_nothing_else(written, key, value):
    text, keys = written
    try:
        document = parse("f.yaml", text)
    except SpecError:
        return
    standing = document.data["models"][0].get(key)
    if isinstance(standing, dict | list):
        return
    edited_document = set_value(document, ("models", 0, key), value, after=("id",))
    assert edited_document.data["models"][0] == {**document.data["models"][0], key: value}
    cut, put = one_change(text, edited_document.text)
    if key not in keys:
        assert cut == ""
        assert put.count("\n") == 1
    assert "#" not in cut
    assert len(cut) <= 40


@given(models())
@settings(max_examples=200, deadline=None)
def test_appending_to_any_text_only_adds(written):
    text, _ = written
    try:
        document = parse("f.yaml", text)
    except SpecError:
        return
    appended = append_item(document, ("models",), ITEM)
    assert appended.data["models"] == [*document.data["models"], ITEM]
    assert one_change(text, appended.text)[0] == ""


@given(models(), st.sampled_from(KEYS))
@settings(max_examples=200, deadline=None)
def test_what_was_set_can_be_set_back(written, key):
    text, keys = written
    try:
        document = parse("f.yaml", text)
    except SpecError:
        return
    standing = document.data["models"][0].get(key)
    if key not in keys or not isinstance(standing, str) or "|" in text:
        return
    there = set_value(document, ("models", 0, key), "something else")
    back = set_value(there, ("models", 0, key), standing)
    assert back.data == document.data
    assert set_value(back, ("models", 0, key), "something else").text == there.text
