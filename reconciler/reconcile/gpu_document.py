"""What was seen of the GPUs as plain data, for `modelctl gpu`, `status` and whoever else reads JSON."""

from typing import Any

from reconciler.core.gpu import Gpu
from reconciler.core.types import ProfileName
from reconciler.gpu.eligibility import GpuState, OwnUse
from reconciler.gpu.select import ProfileState
from reconciler.reconcile.gpu_watch import GpuView


def view_document(view: GpuView, active: ProfileName | None) -> dict[str, Any]:
    """Everything about one look; `active` is the profile that holds."""
    return {
        "at": view.at.isoformat(timespec="seconds"),
        "profile": active,
        "driver": view.survey.driver,
        "gpus": gpu_documents(view),
        "profiles": [_profile(one) for one in view.selection.profiles],
        "lockouts": [
            {**entry.document(), "file": found.path}
            for found in view.lockouts
            for entry in found.entries
            if entry.holds_at(view.at)
        ],
        "conditions": [condition.document() for condition in view.conditions()],
        "remarks": [one.message for one in view.survey.conditions if not one.is_fault],
    }


def gpu_documents(view: GpuView) -> list[dict[str, Any]]:
    """One document per GPU in bus order; sizes in bytes, None for what the card does not tell."""
    return [_gpu(held, view.own) for held in view.selection.gpus]


def _gpu(held: GpuState, own: OwnUse) -> dict[str, Any]:
    gpu: Gpu = held.gpu
    return {
        "uuid": gpu.uuid,
        "index": gpu.index,
        "name": gpu.name,
        "total_bytes": gpu.total,
        "free_bytes": gpu.free,
        "utilisation_percent": gpu.utilisation,
        "temperature_celsius": gpu.temperature,
        "power_watts": gpu.power,
        "eligible": held.eligible,
        "locked": held.locked,
        "hidden": held.hidden,
        "reason": held.reason,
        "processes": None
        if gpu.processes is None
        else [
            {
                "pid": process.pid,
                "used_bytes": process.used,
                "utilisation_percent": process.utilisation,
                "ours": process.pid in own.pids,
            }
            for process in gpu.processes
        ],
    }


def _profile(state: ProfileState) -> dict[str, Any]:
    return {
        "name": state.profile,
        "state": state.chance.value,
        "gpus": list(state.gpus),
        "why_not": list(state.why_not),
    }
