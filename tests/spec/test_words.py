"""Each kind of wrong value: its place, its sentence, its hint, as tests/golden/spec/faults.txt has them."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "spec" / "faults.txt"
MARK = "▶"
JARGON = ("Input", "pydantic", "validation", "https://errors", "constrained", "tuple", "dict", "NoneType")

SPEC = """\
models:
  - id: a
    current_version: v1
    versions:
      - version_id: v1
        gguf_url: hf://org/repo/a.gguf
        {version}
    {model}
    profiles: {{cpu_only: {{{profile}}}}}
{top}
"""
HARMLESS = {"version": "notes: x", "model": "parallel: 1", "profile": "", "top": ""}


def cases():
    """Pairs of `place | yaml`, where the mark stands at the fault, and the lines that answer it."""
    found: list[tuple[str, list[str]]] = []
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            found[-1][1].append(line.strip())
        elif line and not line.startswith("#"):
            found.append((line, []))
    return found


@pytest.mark.parametrize(("case", "answer"), [pytest.param(*case, id=case[0]) for case in cases()])
def test_a_wrong_value(faults, case, answer):
    level, _, yaml = case.partition(" | ")
    text = SPEC.format(**{**HARMLESS, level: yaml})
    before = text[: text.index(MARK)].split("\n")
    [(where, what, hint)] = faults(text.replace(MARK, ""))
    assert [what, *([f"hint: {hint}"] if hint else [])] == answer
    assert where == f"spec.yaml:{len(before)}:{len(before[-1]) + 1}"
    assert not [word for word in JARGON if word in what]


def test_keys_that_are_missing_are_named_with_what_they_are_for(faults):
    assert faults("models:\n  - display_name: x\n") == [
        (
            "spec.yaml:2:5",
            "model 1: `id` is missing",
            "`id`: Unique in the spec; clients ask for the model by it.",
        ),
        (
            "spec.yaml:2:5",
            "model 1: `current_version` is missing",
            "`current_version`: The `version_id` to serve.",
        ),
        ("spec.yaml:2:5", "model 1: `versions` is missing", "`versions`: Every version that is kept."),
        (
            "spec.yaml:2:5",
            "model 1: `profiles` is missing",
            "`profiles`: Where it is served; a profile that is absent or null does not serve it.",
        ),
    ]


def test_a_list_is_not_called_empty_for_what_is_wrong_in_it(faults):
    [(_, what, _)] = faults(SPEC.format(**{**HARMLESS, "version": "sha256: 1"}))
    assert "sha256" in what


def test_an_id_cannot_leave_its_folder(faults):
    for name in ("../../etc", "a/b", ".hidden", "-rf", "a" * 81, "a\\b", "é"):
        text = SPEC.format(**HARMLESS).replace("id: a\n", f"id: '{name}'\n", 1)
        assert [where for where, what, _ in faults(text) if "is no id" in what] == ["spec.yaml:2:9"]
