"""The words of `modelctl gpu`."""

from typing import TYPE_CHECKING

from reconciler.cli.output import Style, paint, table
from reconciler.core.sizes import format_bytes

if TYPE_CHECKING:
    from reconciler.core.types import ProfileName
    from reconciler.gpu.eligibility import GpuState
    from reconciler.gpu.select import ProfileState
    from reconciler.reconcile.gpu_watch import GpuView

_UUID_SHOWN = len("GPU-12345678")
"""As much of a UUID as tells cards apart; the spec takes the beginning of one too."""


def render(view: "GpuView", active: "ProfileName | None") -> str:
    """One look as a page."""
    lines = [f"profile {active or 'none'}"]
    if view.selection.gpus:
        headers = ("GPU", "NAME", "UUID BEGINS", "FREE", "TOTAL", "LOAD", "TEMP", "POWER", "STATE")
        lines += ["", table(headers, [_gpu_row(held) for held in view.selection.gpus])]
    if view.selection.profiles:
        rows = [_profile_row(one, active) for one in view.selection.profiles]
        lines += ["", table(("PROFILE", "STATE", "WHY NOT"), rows)]
    lines += _notes(view)
    return "\n".join(lines)


def _profile_row(state: "ProfileState", active: "ProfileName | None") -> tuple[str, ...]:
    is_active = state.profile == active
    name = paint(state.profile, Style.BOLD) if is_active else state.profile
    return name, "active" if is_active else state.chance.value, "; ".join(state.why_not)


def _notes(view: "GpuView") -> list[str]:
    notes = [paint(f"! {one.resource}: {one.reason}: {one.message}", Style.WARN) for one in view.conditions()]
    hints = dict.fromkeys(one.hint for one in view.survey.conditions if one.hint)
    quiet = [one.message for one in view.survey.conditions if not one.is_fault]
    return ["", *notes, *quiet, *(f"  hint: {hint}" for hint in hints)] if notes or quiet else []


def _gpu_row(held: "GpuState") -> tuple[str, ...]:
    gpu = held.gpu

    def figure(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:.0f} {unit}"

    return (
        str(gpu.index),
        gpu.name,
        gpu.uuid[:_UUID_SHOWN],
        format_bytes(gpu.free),
        format_bytes(gpu.total),
        figure(gpu.utilisation, "%"),
        figure(gpu.temperature, "°C"),
        figure(gpu.power, "W"),
        _state(held),
    )


def _state(held: "GpuState") -> str:
    if held.locked:
        return paint(held.reason or "locked", Style.WARN)
    if held.eligible:
        return paint("free", Style.GOOD) + (f" so far: {held.reason}" if held.reason else "")
    return paint("busy", Style.BAD) + (f": {held.reason}" if held.reason else " until a moment ago")


def changes(
    before: "GpuView", was: "ProfileName | None", after: "GpuView", active: "ProfileName | None"
) -> list[str]:
    """What a person who watches should read: the profile, each GPU's state, and new trouble."""
    old = {held.gpu.uuid: _state(held) for held in before.selection.gpus}
    new = {held.gpu.uuid: held for held in after.selection.gpus}
    lines = [f"profile {was or 'none'} → {active or 'none'}"] if was != active else []
    lines += [
        f"GPU {held.gpu.index} ({held.gpu.name}) is {_state(held)}"
        for uuid, held in new.items()
        if old.get(uuid) != _state(held)
    ]
    gone = [held.gpu for held in before.selection.gpus if held.gpu.uuid not in new]
    lines += [f"GPU {gpu.index} ({gpu.name}) is gone" for gpu in gone]
    known = set(before.conditions())
    lines += [f"{one.resource}: {one.message}" for one in after.conditions() if one not in known]
    return lines
