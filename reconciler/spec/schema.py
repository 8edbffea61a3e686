"""The spec as a JSON Schema (draft-07) for editors, made from the types that load it."""

import json
from collections.abc import Callable
from typing import Any

from reconciler.core.sizes import format_bytes, format_seconds
from reconciler.spec.descriptions import descriptions, types_below
from reconciler.spec.fields import DURATION_FORMAT, SIZE_FORMAT
from reconciler.spec.model import Spec

DRAFT = "http://json-schema.org/draft-07/schema#"

Node = dict[str, Any]
"""A schema or a part of one."""

_WRITTEN: dict[str, Callable[[Any], str]] = {
    SIZE_FORMAT: lambda size: format_bytes(size).replace(" ", ""),
    DURATION_FORMAT: format_seconds,
}
"""How defaults look when a person writes them."""


def schema() -> Node:
    """The schema as plain data.

    What takes two places to see (targets that exist, ports, sums) is beyond it; `modelctl validate` sees it.
    """
    made = Spec.model_json_schema(ref_template="#/definitions/{model}")
    types = types_below()
    for name, node in (("Spec", made), *made["$defs"].items()):
        for field, text in descriptions(types[name]).items():
            node["properties"][field]["description"] = text
    definitions = {name: made["$defs"][name] for name in _in_order_of_use(made)}
    cleaned = _Cleaner({name: node["description"] for name, node in definitions.items()})
    return {
        "$schema": DRAFT,
        "title": "modelctl spec",
        "description": made["description"],
        "type": "object",
        "additionalProperties": False,
        # A section whose entries are all comments is null, and loads.
        "properties": {name: _or_null(node) for name, node in cleaned.named(made["properties"]).items()},
        "definitions": cleaned.named(definitions),
    }


def schema_text() -> str:
    """What is committed as docs/spec.schema.json and written by `modelctl init`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


class _Cleaner:
    """Turns what pydantic writes into what draft-07 understands and a reader wants to see."""

    def __init__(self, descriptions: dict[str, str]) -> None:
        self._descriptions = descriptions

    def named(self, nodes: dict[str, Node]) -> dict[str, Node]:
        """The keys are names of the spec, not keywords."""
        return {name: self._node(node) for name, node in nodes.items()}

    def _node(self, node: Node) -> Node:
        cleaned: Node = {}
        for key, value in node.items():
            if key in ("properties", "patternProperties"):
                cleaned[key] = self.named(value)
            elif key in ("items", "anyOf"):
                cleaned[key] = (
                    self._node(value) if isinstance(value, dict) else [self._node(v) for v in value]
                )
            elif key == "description":
                cleaned[key] = " ".join(value.split())
            elif key != "title":
                cleaned[key] = value
        if cleaned.get("format") in _WRITTEN and isinstance(cleaned.get("default"), int | float):
            cleaned["default"] = _WRITTEN[cleaned["format"]](cleaned["default"])
        if "patternProperties" in cleaned:
            cleaned["additionalProperties"] = False
        if "default" in cleaned and "$ref" in cleaned:
            # Draft-07 ignores what stands beside a reference. The parts of the default are found below it.
            name = cleaned["$ref"].rpartition("/")[2]
            return {
                "description": cleaned.get("description", self._descriptions[name]),
                "allOf": [{"$ref": cleaned["$ref"]}],
            }
        return cleaned


def _or_null(section: Node) -> Node:
    if "type" in section:
        return {**section, "type": [section["type"], "null"]}
    return {"description": section["description"], "anyOf": [*section["allOf"], {"type": "null"}]}


def _in_order_of_use(made: Node) -> list[str]:
    """Names of the definitions as a reader meets them, from the root down."""
    found: list[str] = []

    def visit(node: Any) -> None:
        for name in _references(node):
            if name not in found:
                found.append(name)
                visit(made["$defs"][name])

    visit(made["properties"])
    return found


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].rpartition("/")[2]] if "$ref" in node else []
    return own + [name for value in node.values() for name in _references(value)]
