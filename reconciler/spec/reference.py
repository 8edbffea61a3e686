"""docs/spec.md: every key of the spec with its type, default and meaning, made from the schema."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HEAD = """\
# The spec, key by key

<!-- Made by `modelctl schema --reference` from reconciler/spec/model.py; a test keeps it true. -->

The spec is every `*.yaml` and `*.yml` file of one folder (`--spec`, `$MODELCTL_SPEC`, default `./spec`), read
in the order of their names. Folders below it and hidden files are left out; symbolic links are refused.

- Over the files, top-level lists concatenate and maps merge key by key; `settings` merges at every level. The
  same id or key twice is an error that names both places. A section that is null counts as absent.
- YAML 1.2: `no`, `on`, dates and `2025-11-17-01` are text. What reads as a number (`1.10`, a hash of digits
  alone) needs quotes to be text. Merge keys (`<<`) are not read; anchors and aliases are, within bounds.
- Unknown keys, duplicate keys, files above 8 MiB, several documents in a file and more than 64 levels are
  errors.
- A size is written `20GiB`, `512MiB`, `20GB` (decimal) or in bytes; a duration `30m`, `90s`, `1h30m` or in
  seconds.
- An id has letters, digits, `.`, `_` and `-`, at most 80, and begins with a letter, a digit or `_`. Ids that
  differ only in case are refused, since they become file names.
- `file://` takes an absolute path, without `~`: who reads it may be a person or a service.
- Each port has one listener over all profiles, since runtimes of two run while the active one changes. The
  pool leaves out the ports that models name.
- What is pinned is served: a pin that differs from `current_version` is an error.

`modelctl validate` finds what is wrong, `modelctl schema` prints the JSON Schema for editors.
"""


def render_reference(schema: Mapping[str, Any]) -> str:
    """The reference as Markdown: the sections of the root, then each type in the order of its use."""
    parts = [_HEAD, *_table("Top level", schema)]
    for name, definition in schema["definitions"].items():
        parts += _table(name, definition)
    return "\n".join(parts)


def _table(title: str, definition: Mapping[str, Any]) -> Iterator[str]:
    required = definition.get("required", ())
    yield f"## {title}\n"
    yield f"{definition['description']}\n"
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key, node in definition["properties"].items():
        default = "required" if key in required else _default(node)
        yield f"| `{key}` | {_type(node)} | {default} | {_cell(node['description'])} |"
    yield ""


def _type(node: Mapping[str, Any]) -> str:
    """In words; that null stands for absent goes without saying."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"])
    for key in ("anyOf", "allOf"):
        if key in node:
            return _either([_type(member) for member in node[key] if member != {"type": "null"}])
    if "format" in node:
        return str(node["format"])
    if "examples" in node:
        return " or ".join(f"`{example}`" for example in node["examples"])
    types = [node["type"]] if isinstance(node["type"], str) else node["type"]
    return _either([_plain(name, node) for name in types if name != "null"])


def _either(words: Sequence[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last


def _plain(name: str, node: Mapping[str, Any]) -> str:
    if name == "array":
        return f"list of {_type(node['items'])}"
    if name == "object":
        return f"map of name to {_type(next(iter(node['patternProperties'].values())))}"
    return {"string": "text", "integer": _range(node), "number": "number", "boolean": "true or false"}[name]


def _range(node: Mapping[str, Any]) -> str:
    if "minimum" in node and "maximum" in node:
        return f"{node['minimum']} to {node['maximum']}"
    return f"whole number from {node['minimum']}" if "minimum" in node else "whole number"


def _default(node: Mapping[str, Any]) -> str:
    default = node.get("default")
    if default in (None, [], {}):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
