"""Edits in the spec's own words: the right file, the right place, nothing else."""

import pytest

from reconciler.core.errors import SpecError, UsageError
from reconciler.core.types import ModelId, VersionId
from reconciler.spec.edit import AppendVersion, SetCurrentVersion, SetPin, SetVersionFields, edit
from reconciler.spec.load import load

REVISION = "ab" * 20
HASH = "cd" * 32
A, B, V1, V2 = ModelId("a"), ModelId("b"), VersionId("v1"), VersionId("v2")

SPLIT = "hf://o/r/a-00001-of-00002.gguf"

FIRST = """\
# The first file.
models:
  - id: a          # the coder
    current_version: "v1"
    versions:
      # deployed in November
      - version_id: v1
        gguf_url: hf://org/repo/a.gguf   # q4_0
        notes: |
          Initial
          deployment
        mmproj: {url: hf://o/r/mmproj.gguf}
        loras:
          - url: hf://org/repo/one.gguf
          - url: hf://org/repo/two.gguf
            scale: 0.5
      - {version_id: v2, gguf_url: hf://o/r/a-00001-of-00002.gguf}

    profiles: {cpu_only: {}}
"""
SECOND = """\
models:\r
- id: b\r
  current_version: v1\r
  versions: [{version_id: v1, gguf_url: 'hf://o/r/b.gguf'}]\r
  profiles: {cpu_only: {}}\r
"""
TEXTS = {"spec/1.yaml": FIRST, "spec/2.yaml": SECOND}


def changed(*edits, texts=TEXTS):
    """The lines that went and came (`-…`, `+…`), by file."""
    result = edit(texts, edits)
    lines = []
    for file, text in result.items():
        old, new = texts[file].splitlines(keepends=True), text.splitlines(keepends=True)
        start = next(
            (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
        )
        end = 0
        while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
            end += 1
        lines += [file, *(f"-{line}" for line in old[start : len(old) - end])]
        lines += [f"+{line}" for line in new[start : len(new) - end]]
    return lines


def test_what_pull_resolved_stands_behind_the_url():
    assert changed(SetVersionFields(A, V1, revision=REVISION, sha256=HASH)) == [
        "spec/1.yaml",
        f"+        revision: {REVISION}\n",
        f"+        sha256: {HASH}\n",
    ]


def test_the_hashes_of_shards_are_a_list():
    assert changed(SetVersionFields(A, V2, sha256=(HASH, HASH))) == [
        "spec/1.yaml",
        "-      - {version_id: v2, gguf_url: hf://o/r/a-00001-of-00002.gguf}\n",
        f"+      - {{version_id: v2, gguf_url: {SPLIT}, sha256: [{HASH}, {HASH}]}}\n",
    ]


@pytest.mark.parametrize(
    ("companion", "lines"),
    [
        (
            ("mmproj",),
            [
                "-        mmproj: {url: hf://o/r/mmproj.gguf}\n",
                f"+        mmproj: {{url: hf://o/r/mmproj.gguf, revision: {REVISION}, sha256: {HASH}}}\n",
            ],
        ),
        (("loras", 1), [f"+            revision: {REVISION}\n", f"+            sha256: {HASH}\n"]),
    ],
)
def test_a_companion_is_resolved_beside_the_model(companion, lines):
    wanted = SetVersionFields(A, V1, revision=REVISION, sha256=HASH, companion=companion)
    assert changed(wanted) == ["spec/1.yaml", *lines]
    version = load({**TEXTS, **edit(TEXTS, [wanted])}).by_id[A].current
    assert HASH in ((version.mmproj and version.mmproj.sha256), version.loras[1].sha256)
    assert version.loras[0].sha256 is None


def test_a_hash_that_stands_there_is_replaced_in_its_quotes():
    texts = {"f": FIRST.replace("# q4_0", f"# q4_0\n        sha256: '{HASH}'")}
    assert changed(SetVersionFields(A, V1, sha256="ef" * 32), texts=texts) == [
        "f",
        f"-        sha256: '{HASH}'\n",
        f"+        sha256: '{'ef' * 32}'\n",
    ]


def test_the_current_version_keeps_its_quotes():
    assert changed(SetCurrentVersion(A, V2)) == [
        "spec/1.yaml",
        '-    current_version: "v1"\n',
        '+    current_version: "v2"\n',
    ]


def test_a_version_is_appended_in_block_style():
    fields = {
        "version_id": "2026-01-01-01",
        "gguf_url": "hf://org/repo/c.gguf",
        "loras": [{"url": "hf://o/r/l"}],
    }
    texts = {"f": FIRST.replace("      - {version_id: v2, gguf_url: hf://o/r/a-00001-of-00002.gguf}\n", "")}
    assert changed(AppendVersion(A, fields), texts=texts) == [
        "f",
        '+      - version_id: "2026-01-01-01"\n',
        "+        gguf_url: hf://org/repo/c.gguf\n",
        "+        loras: [{url: hf://o/r/l}]\n",
    ]


def test_a_version_is_appended_to_a_flow_list():
    assert changed(AppendVersion(B, {"version_id": "v2", "gguf_url": "hf://o/r/c"})) == [
        "spec/2.yaml",
        "-  versions: [{version_id: v1, gguf_url: 'hf://o/r/b.gguf'}]\r\n",
        "+  versions: [{version_id: v1, gguf_url: 'hf://o/r/b.gguf'}, {version_id: v2, gguf_url: hf://o/r/c}]\r\n",
    ]


def test_a_promotion_is_one_edit_of_several():
    edits = (
        AppendVersion(B, {"version_id": "v2", "gguf_url": "hf://o/r/c"}),
        SetVersionFields(B, V2, sha256=HASH),
        SetCurrentVersion(B, V2),
        SetPin(B, V2),
    )
    spec = load({**TEXTS, **edit(TEXTS, edits)})
    assert spec.by_id[B].current.hashes == (HASH,)
    assert spec.pinned(B) == "v2"


def test_a_first_pin_goes_into_the_model_s_file_with_its_line_ends():
    assert changed(SetPin(B, V1)) == ["spec/2.yaml", "+pins:\r\n", "+  b: v1\r\n"]


def test_a_pin_goes_where_pins_are():
    texts = {**TEXTS, "spec/9.yaml": "# Held back.\npins:\n  a: v1  # until May\n"}
    assert changed(SetPin(B, V1), texts=texts) == ["spec/9.yaml", "+  b: v1\n"]
    assert changed(SetPin(A, None), texts=texts) == ["spec/9.yaml", "-  a: v1  # until May\n"]
    again = {**texts, **edit(texts, [SetPin(A, None)])}
    assert changed(SetPin(A, V1), texts=again) == ["spec/9.yaml", "+  a: v1\n"]


def test_a_pin_moves_with_the_version():
    texts = {"f": FIRST + "pins: {a: v1}\n"}
    lines = changed(SetPin(A, V2), SetCurrentVersion(A, V2), texts=texts)
    assert "+pins: {a: v2}\n" in lines


def test_taking_away_a_pin_that_is_not_there_changes_nothing():
    assert edit(TEXTS, [SetPin(A, None)]) == {}


def test_a_byte_order_mark_and_a_missing_last_line_end_stay():
    texts = {"f": "\ufeff" + SECOND.removesuffix("\r\n")}
    text = edit(texts, [SetPin(B, V1)])["f"]
    assert text == "\ufeff" + SECOND + "pins:\r\n  b: v1"


@pytest.mark.parametrize(
    ("wanted", "says", "hint"),
    [
        (SetCurrentVersion(ModelId("c"), V1), "the spec has no model `c`", "`modelctl list` shows them"),
        (SetCurrentVersion(A, VersionId("v3")), "model `a` has no version `v3`", "versions there: v1, v2"),
        (SetVersionFields(B, V2, sha256=HASH), "model `b` has no version `v2`", "versions there: v1"),
    ],
)
def test_what_is_not_there_is_a_wrong_command(wanted, says, hint):
    with pytest.raises(UsageError, match=says) as refused:
        edit(TEXTS, [wanted])
    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([SetPin(A, V2)], "model `a` is pinned to `v2`, but its version is `v1`"),
        ([SetVersionFields(A, V2, sha256=HASH)], "has 1 hash for 2 shards"),
        ([SetVersionFields(A, V1, sha256="main")], "'main' is no sha256"),
        (
            [AppendVersion(A, {"version_id": "v1", "gguf_url": "hf://o/r/x.gguf"})],
            "the version `v1` stands twice",
        ),
        ([AppendVersion(A, {"version_id": "v3"})], "`gguf_url` is missing"),
    ],
)
def test_an_edit_that_would_break_the_spec_is_refused(edits, says):
    with pytest.raises(SpecError, match=says):
        edit(TEXTS, edits)


def test_a_version_behind_an_alias_is_left_to_its_author():
    shared = (
        "models:\n"
        "  - {id: a, current_version: v1, profiles: {}, versions: &v [{version_id: v1, gguf_url: hf://o/r/f}]}\n"
        "  - {id: b, current_version: v1, versions: *v, profiles: {}}\n"
    )
    for model in (A, B):
        with pytest.raises(SpecError, match="cannot be edited without changing more") as refused:
            edit({"f": shared}, [SetVersionFields(model, V1, sha256=HASH)])
        assert refused.value.where is not None
        assert refused.value.where.file == "f"
