"""The JSON Schema and the reference are what the types say, and the committed copies are true."""

import json
from pathlib import Path

import jsonschema
import pytest
import ryaml

from reconciler.core.errors import SpecError
from reconciler.spec.fields import Closed
from reconciler.spec.load import load
from reconciler.spec.reference import render_reference
from reconciler.spec.schema import schema, schema_text

ROOT = Path(__file__).parents[2]
EXAMPLE = sorted((ROOT / "spec").glob("*.yaml"))


def violations(text):
    return [error.message for error in jsonschema.Draft7Validator(schema()).iter_errors(ryaml.loads(text))]


def objects(node):
    """Every schema of a mapping with keys of its own."""
    if isinstance(node, list):
        for item in node:
            yield from objects(item)
    elif isinstance(node, dict):
        if "properties" in node:
            yield node
        for value in node.values():
            yield from objects(value)


def test_it_is_a_valid_draft_07_schema():
    jsonschema.Draft7Validator.check_schema(schema())
    assert schema()["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in schema_text()


def test_it_knows_every_type_and_every_key():
    types = {kind.__name__: set(kind.model_fields) for kind in Closed.__subclasses__()}
    known = {name: set(node["properties"]) for name, node in schema()["definitions"].items()}
    known["Spec"] = set(schema()["properties"])
    assert known.pop("Lora") == {*types["Companion"], "scale"}
    assert known == types


def test_every_key_is_described_and_no_other_is_allowed():
    for node in objects(schema()):
        assert node["additionalProperties"] is False
        for name, value in node["properties"].items():
            assert value["description"].endswith("."), name
            assert "  " not in value["description"], name


def test_nothing_stands_beside_a_reference_where_draft_07_ignores_it():
    def references(node):
        if isinstance(node, dict):
            yield from [node] if "$ref" in node else []
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    assert all(set(node) == {"$ref"} for node in references(schema()))


def test_the_committed_schema_is_true():
    """Mend it with `modelctl schema --out docs/spec.schema.json`."""
    assert (ROOT / "docs" / "spec.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_committed_reference_is_true():
    """Mend it with `modelctl schema --reference --out docs/spec.md`."""
    assert (ROOT / "docs" / "spec.md").read_text(encoding="utf-8") == render_reference(schema())


def test_the_reference_has_every_key_of_every_type():
    reference = render_reference(schema())
    for name, node in schema()["definitions"].items():
        section = reference.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert [key for key in node["properties"] if f"| `{key}` |" not in section] == []


def test_defaults_look_as_a_person_writes_them():
    settings = schema()["definitions"]["Settings"]["properties"]
    assert settings["ready_timeout"]["default"] == "10m"
    assert schema()["definitions"]["Reserve"]["properties"]["ram"]["default"] == "2GiB"


@pytest.mark.parametrize("file", EXAMPLE, ids=lambda file: file.name)
def test_the_example_is_valid_by_the_schema_it_names(file):
    text = file.read_text(encoding="utf-8")
    marker = "# yaml-language-server: $schema="
    assert text.startswith(marker)
    named = (file.parent / text.splitlines()[0].removeprefix(marker)).resolve()
    assert json.loads(named.read_text(encoding="utf-8")) == schema()
    assert violations(text) == []


def test_the_example_loads_and_shows_every_section():
    spec = load({str(file): file.read_text(encoding="utf-8") for file in EXAMPLE})
    assert list(spec.profiles) == ["max", "mid", "fallback", "cpu_only"]
    assert {model.residency for model in spec.models} == {"always", "on_demand"}
    assert spec.personas
    assert spec.pins
    hashed = [version for model in spec.models for version in model.versions if version.hashes]
    assert hashed == [], "an example must not carry hashes that nobody has seen"


@pytest.mark.parametrize(
    "text",
    [
        "models:\npersonas:\npins:\nsettings:\nprofiles:\n",
        "settings: {reserve: {ram: 1, vram: 1GiB}, ready_timeout: 0.5}",
        "settings: {pool: {idle_timeout: 90s}, gateway: {listen: '[::1]:8600', ollama_listen: null}}",
        "pins: {}",
    ],
)
def test_what_loads_is_valid(text):
    load({"f.yaml": text})
    assert violations(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "modles: []",
        "settings: {stor: x}",
        "settings: {store: ''}",
        "settings: {supervisor: sytemd}",
        "settings: {reserve: {ram: -1}}",
        "settings: {reserve: {ram: [1]}}",
        "settings: {gateway: {listen: nowhere}}",
        "settings: {pool: {ports: all}}",
        "profiles: {a b: {gpus: []}}",
        "profiles: {a: {}}",
        "models: [{id: a}]",
        "models: [{id: a, current_version: v, versions: [], profiles: {}}]",
        "models: [{id: a, current_version: v, versions: [{version_id: v, gguf_url: x}], profiles: {}}]",
        "models: [{id: a, current_version: v, versions: [{version_id: v, gguf_url: 'hf://a/b/c'}]}]",
        "personas: [{id: a, base_model: b, sampling: {top_p: 2}}]",
        "pins: {a: 1}",
    ],
)
def test_what_an_editor_marks_does_not_load(text):
    assert violations(text) != []
    with pytest.raises(SpecError):
        load({"f.yaml": text})
