"""`init`, `validate` and `schema` as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.spec.load import load
from reconciler.spec.schema import schema, schema_text


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, with no spec named by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELCTL_SPEC", raising=False)
    return tmp_path


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_init_writes_a_spec_that_is_sound(folder, capsys):
    assert run(["init"]) == 0
    assert set(files(folder)) == {"spec/models.yaml", "spec/spec.schema.json"}
    assert capsys.readouterr().out == "wrote spec/models.yaml\nwrote spec/spec.schema.json\n"
    text = (folder / "spec" / "models.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")
    assert load({"models.yaml": text}).models
    assert json.loads((folder / "spec" / "spec.schema.json").read_text()) == schema()
    assert run(["validate"]) == 0
    assert capsys.readouterr().out.startswith("the spec is sound: 1 file, ")


def test_init_takes_a_folder(folder, capsys):
    assert run(["init", "there/spec", "--format", "json"]) == 0
    written = ["there/spec/models.yaml", "there/spec/spec.schema.json"]
    assert json.loads(capsys.readouterr().out)["written"] == written
    assert sorted(files(folder)) == written


@pytest.mark.parametrize("standing", ["models.yaml", "mine.yml", "spec.schema.json"])
def test_init_overwrites_nothing(folder, capsys, standing):
    (folder / "spec").mkdir()
    (folder / "spec" / standing).write_text("# mine\n")
    before = files(folder)
    assert run(["init"]) == 3
    assert f"spec/{standing} is already there" in capsys.readouterr().err
    assert files(folder) == before


def test_validate_without_a_spec_says_how_to_begin(folder, capsys):
    assert run(["validate"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0] == "error: there is no spec folder `spec`"
    assert "`modelctl init spec`" in shown.err


def test_validate_shows_every_fault_with_its_place(folder, capsys):
    (folder / "spec").mkdir()
    (folder / "spec" / "a.yaml").write_text("modles: []\nsettings: {engine: 3}\n")
    assert run(["validate"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: spec/a.yaml:1:1: unknown key `modles`",
        "  hint: did you mean `models`?",
        "error: spec/a.yaml:2:20: `settings.engine` must be text, not 3",
        "  hint: put it in quotes",
    ]


def test_validate_speaks_json(folder, capsys):
    (folder / "spec").mkdir()
    (folder / "spec" / "a.yaml").write_text("profiles: {max: {gpus: []}}\n")
    assert run(["validate", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.pop("format_version") == 1
    assert document == {
        "valid": True,
        "files": 1,
        "profiles": 1,
        "models": 0,
        "personas": 0,
        "pins": 0,
        "unresolved": [],
    }
    (folder / "spec" / "b.yaml").write_text("a: 1\na: 2\n")
    assert run(["validate", "--format=json"]) == 1
    [error] = json.loads(capsys.readouterr().err)["errors"]
    assert (error["where"], error["exit_code"]) == ("spec/b.yaml:2:1", 1)


def test_validate_names_what_pull_would_fill_in(folder, capsys, model):
    (folder / "spec").mkdir()
    (folder / "spec" / "a.yaml").write_text(model("a"))
    assert run(["validate"]) == 0
    assert "1 version without sha256: `modelctl pull`" in capsys.readouterr().err


def test_schema_prints_or_writes(folder, capsys):
    assert run(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()
    assert run(["schema", "--out", "s.json"]) == 0
    assert capsys.readouterr().out == ""
    assert (folder / "s.json").read_text() == schema_text()
    assert run(["schema", "--reference"]) == 0
    assert capsys.readouterr().out.startswith("# The spec, key by key\n")


def test_a_sound_spec_is_read_without_what_only_faults_need(folder, model):
    """Positions, words and their parser cost start-up time."""
    (folder / "a.yaml").write_text(model("a"))
    code = (
        "import sys; from reconciler.spec.load import load; load({'a': open('a.yaml').read()});"
        "late = {'yaml', 'difflib', 'reconciler.spec.locate', 'reconciler.spec.words'};"
        "print(sorted(late & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == "[]"
