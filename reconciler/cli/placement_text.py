"""The words of `modelctl placement`."""

from typing import Any

from reconciler.cli.output import Style, paint, table
from reconciler.core.sizes import format_bytes

_BAR = 30
_NONE = "-"
_MANY = 1000
"""Tokens per second, from which on tenths are noise."""


def render_ledger(document: dict[str, Any]) -> str:
    """All runtimes against all devices, and a bar per device."""
    devices = document["devices"]
    headers = ("RUNTIME", "STRATEGY", *(device["name"] for device in devices), "RAM", "TOKENS/S", "STATE")
    lines = [f"profile {document['profile']}, {document['engine']}", ""]
    if document["runtimes"]:
        lines += [table(headers, [_row(runtime, devices) for runtime in document["runtimes"]]), ""]
    lines += _bars(document)
    lines += _troubles(document)
    return "\n".join(lines)


def render_runtime(document: dict[str, Any]) -> str:
    """One runtime in detail."""
    [runtime] = document["runtimes"]
    lines = [f"{runtime['name']}, {document['engine']}", ""]
    if runtime["placed"]:
        headers = ("DEVICE", "LAYERS", "WEIGHTS", "CONTEXT", "COMPUTE", "OTHER", "TOTAL")
        names = {device["id"]: device["name"] for device in document["devices"]}
        parts = [*runtime["devices"], runtime["ram"]]
        lines += [table(headers, [_part(part, names) for part in parts]), ""]
        lines += _about(runtime, document["most_copies"])
    if not runtime["reason"]:
        visible = runtime["environment"]["CUDA_VISIBLE_DEVICES"]
        lines += [f"flags  {' '.join(runtime['flags']) or 'as given in the spec'}"]
        lines += [f"GPUs   {visible}", ""] if visible else [""]
    lines += _bars(document)
    if document["checks"]:
        rows = [_check(found) for found in document["checks"]]
        lines += ["", table(("LLAMA-FIT-PARAMS", "OURS", "THEIRS", "GAP"), rows)]
    lines += _troubles(document)
    return "\n".join(lines)


def _row(runtime: dict[str, Any], devices: list[dict[str, Any]]) -> tuple[str, ...]:
    taken = {part["id"]: part for part in runtime.get("devices", ())}
    cells = [
        format_bytes(taken[one["id"]]["total_bytes"]) if one["id"] in taken else _NONE for one in devices
    ]
    ram = format_bytes(runtime["ram"]["total_bytes"]) if runtime["placed"] else _NONE
    speed = runtime.get("expected_tokens_per_second")
    return (
        runtime["name"],
        runtime["strategy"],
        *cells,
        ram,
        _NONE if speed is None else f"~{_speed(speed)}",
        _state(runtime),
    )


def _state(runtime: dict[str, Any]) -> str:
    if runtime["reason"]:
        return paint("refused", Style.BAD)
    if not runtime["placed"]:
        return "not reckoned"
    if not runtime["resolved"]:
        return "not pulled"
    return "kept" if runtime["kept"] else "new"


def _part(part: dict[str, Any], names: dict[str, str]) -> tuple[str, ...]:
    sizes = ("model_bytes", "context_bytes", "compute_bytes", "other_bytes", "total_bytes")
    name = names.get(part["id"], "RAM")
    return (name, str(part["layers"]), *(format_bytes(part[size]) if part[size] else _NONE for size in sizes))


def _about(runtime: dict[str, Any], most: int | None) -> list[str]:
    lines = []
    if runtime["expert_layers_in_ram"]:
        lines.append(f"the experts of the first {runtime['expert_layers_in_ram']} layers stay in RAM")
    if runtime["feed_forward_in_ram"]:
        lines.append(f"of layers on devices stay in RAM: {_left(runtime['feed_forward_in_ram'])}")
    if runtime["feed_forward_on_next_device"]:
        lines.append(f"the next device has: {_left(runtime['feed_forward_on_next_device'])}")
    if runtime["prompt_cache_bytes"]:
        lines.append(
            f"its prompt cache may take up to {format_bytes(runtime['prompt_cache_bytes'])} of RAM more"
        )
    if runtime["expected_tokens_per_second"]:
        lines.append(f"expected: about {_speed(runtime['expected_tokens_per_second'])} tokens per second")
    if not runtime["exact"]:
        lines.append("its architecture is not known: context and compute are estimates")
    if most is not None:
        lines.append(f"this machine holds {most} such runtime{'' if most == 1 else 's'} at most")
    return [*lines, ""]


def _left(layers: dict[str, list[str]]) -> str:
    """`ffn_down of 39, 42; ffn_gate, ffn_up, ffn_down of 61`."""
    by_parts: dict[str, list[str]] = {}
    for layer, parts in layers.items():
        by_parts.setdefault(", ".join(f"ffn_{part}" for part in parts), []).append(layer)
    return "; ".join(f"{parts} of {', '.join(numbers)}" for parts, numbers in by_parts.items())


def _speed(tokens_per_second: float) -> str:
    return f"{tokens_per_second:.0f}" if tokens_per_second >= _MANY else f"{tokens_per_second:g}"


def _bars(document: dict[str, Any]) -> list[str]:
    places = [*((device["name"], device) for device in document["devices"]), ("RAM", document["ram"])]
    width = max(len(name) for name, _ in places)
    return [f"{name:<{width}}  {_bar(place)}" for name, place in places]


def _bar(place: dict[str, Any]) -> str:
    """`#` is placed, `.` is free, `x` is the reserve."""
    total = max(1, place["total_bytes"])
    reserved = min(_BAR, round(_BAR * place["reserved_bytes"] / total))
    placed = min(_BAR - reserved, -(-_BAR * place["placed_bytes"] // total))
    bar = "#" * placed + "." * (_BAR - reserved - placed) + "x" * reserved
    left = format_bytes(max(0, place["free_bytes"]))
    whole, kept = format_bytes(place["total_bytes"]), format_bytes(place["reserved_bytes"])
    reserve = f", {kept} reserved" if place["reserved_bytes"] else ""
    return f"[{bar}] {format_bytes(place['placed_bytes'])} of {whole}{reserve}, {left} free"


def _check(found: dict[str, Any]) -> tuple[str, ...]:
    gap = f"{found['gap']:+.1%}"
    return (
        found["device"],
        format_bytes(found["ours_bytes"]),
        format_bytes(found["theirs_bytes"]),
        paint(f"{gap}  more than 5 % apart", Style.WARN) if found["flagged"] else gap,
    )


def _troubles(document: dict[str, Any]) -> list[str]:
    lines = []
    for runtime in document["runtimes"]:
        if runtime["reason"]:
            lines.append(f"! {runtime['name']}: {runtime['reason']}")
            lines += [f"  hint: {runtime['hint']}"] if runtime["hint"] else []
    lines += [f"note: {warning}" for warning in document["warnings"]]
    return ["", *lines] if lines else []
