"""A placement as a file for people and for Git: readable, and any edit of it is noticed. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from reconciler.core.hashing import config_hash
from reconciler.core.types import Bytes, UnitName
from reconciler.kinds.placement.types import Part, Record

FORMAT_VERSION = 1


def file_name(runtime: UnitName) -> str:
    """The name of a runtime's file: unique, because its unit's name is."""
    return f"{runtime.removeprefix('llama@')}.json"


def render(record: Record) -> str:
    """The file's text. Sizes are in bytes; `hash` covers everything else in it."""
    body = {
        "format_version": FORMAT_VERSION,
        "runtime": record.runtime,
        "flags": list(record.flags),
        "devices": [_part(part) for part in record.devices],
        "ram": _part(record.ram),
        "expert_layers_in_ram": record.expert_layers_in_ram,
        "feed_forward_in_ram": _by_layer(record.feed_forward_in_ram),
        "feed_forward_on_next_device": _by_layer(record.feed_forward_on_next_device),
        "seconds_per_token": round(record.seconds_per_token, 9),
        "exact": record.exact,
        "trained_context": record.trained_context,
        "made_from": dict(record.key),
    }
    return json.dumps({**body, "hash": config_hash(body)}, indent=1, ensure_ascii=False) + "\n"


def parse(text: str) -> Record | None:
    """Read a file of ours; None where it is damaged, of another release, or was edited."""
    try:
        body: dict[str, Any] = json.loads(text)
        if body.pop("hash") != config_hash(body) or body["format_version"] != FORMAT_VERSION:
            return None
        return Record(
            runtime=UnitName(body["runtime"]),
            flags=tuple(body["flags"]),
            devices=tuple(_read_part(part) for part in body["devices"]),
            ram=_read_part(body["ram"]),
            expert_layers_in_ram=body["expert_layers_in_ram"],
            feed_forward_in_ram=_read_by_layer(body.get("feed_forward_in_ram", {})),
            feed_forward_on_next_device=_read_by_layer(body.get("feed_forward_on_next_device", {})),
            seconds_per_token=body["seconds_per_token"],
            exact=body["exact"],
            trained_context=body["trained_context"],
            key=body["made_from"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _by_layer(layers: tuple[tuple[int, tuple[str, ...]], ...]) -> dict[str, list[str]]:
    return {str(layer): list(parts) for layer, parts in layers}


def _read_by_layer(layers: Mapping[str, list[str]]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple((int(layer), tuple(parts)) for layer, parts in layers.items())


def _part(part: Part) -> dict[str, Any]:
    return {
        "id": part.id,
        "layers": part.layers,
        "model": part.model,
        "context": part.context,
        "compute": part.compute,
        "beside": part.beside,
    }


def _read_part(part: Mapping[str, Any]) -> Part:
    return Part(
        id=part["id"],
        layers=part["layers"],
        model=Bytes(part["model"]),
        context=Bytes(part["context"]),
        compute=Bytes(part["compute"]),
        beside=Bytes(part["beside"]),
    )
