"""A file that is being written, or was hit by chance: it loads or it is refused, and quickly."""

import json
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.core.errors import SpecError
from reconciler.spec.load import load

SPEC = """\
# yaml-language-server: $schema=../docs/spec.schema.json
settings:
  reserve: {ram: 20GiB}  # größer als nötig
profiles:
  max: {gpus: ["RTX 5080", 'RTX 3060']}
models:
  - id: coder
    flags: &fast {flash-attn: "on"}
    current_version: "2025-11-17-01"
    versions:
      - version_id: "2025-11-17-01"
        gguf_url: hf://org/repo/file-00001-of-00002.gguf
        notes: |
          Two lines,
          the second: longer. 😀
    profiles:
      max: {port: 8601, gpu_percentages: [60, 40], flags: *fast}
personas:
  - {id: doctor, base_model: coder, sampling: {temperature: 0.2}}
pins: {coder: "2025-11-17-01"}
"""


def loads_or_is_refused(text):
    """Anything but a SpecError is a defect."""
    began = time.monotonic()
    try:
        load({"spec.yaml": text})
    except SpecError as error:
        faults = getattr(error, "faults", (error,))
        assert all(fault.where is not None and fault.what for fault in faults)
    assert time.monotonic() - began < 2


def test_the_whole_spec_loads():
    load({"spec.yaml": SPEC})


def test_every_prefix_loads_or_is_refused():
    """Cut at every byte; a cut within a character is refused when the file is read."""
    data = SPEC.encode()
    for size in range(len(data)):
        try:
            text = data[:size].decode()
        except UnicodeDecodeError:
            continue
        loads_or_is_refused(text)


@pytest.mark.parametrize("seed", range(4))
def test_a_spec_with_changed_characters_loads_or_is_refused(seed):
    dice = random.Random(seed)
    characters = "\t\n\r \"'#&*!|>%@`{}[],:-?<=~.0aé\x85\u2028😀\x00"
    for _ in range(150):
        text = list(SPEC)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 3)] = dice.choice(characters)
        loads_or_is_refused("".join(text))


@given(st.text(alphabet=st.sampled_from("ab:-? \n\t[]{},#&*!|>'\"%<1.~"), max_size=60))
@example("? [")
@example("a: !<tag:x> &x *x")
@example("[?")
@settings(max_examples=300, deadline=None)
def test_any_text_loads_or_is_refused(text):
    loads_or_is_refused(text)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["settings", "profiles", "models", "personas", "pins"]),
)
@settings(max_examples=300, deadline=None)
def test_any_value_in_a_section_is_refused_in_words(value, section):
    loads_or_is_refused(json.dumps({section: value}, ensure_ascii=False))


@pytest.mark.parametrize("section", ["settings", "profiles", "models", "personas", "pins"])
@pytest.mark.parametrize(
    "value", ["[[]]", "{a: {a: {a: 1}}}", "[{}]", "[null]", "{1: 2}", "{null: 1}", "{a: []}"]
)
def test_each_section_takes_nothing_odd(section, value):
    loads_or_is_refused(f"{section}: {value}\n")
