"""Whether a llama-server is being used, by what it says of its slots."""

import http.client
from dataclasses import dataclass
from typing import Any

from reconciler.core.endpoint import Endpoint
from reconciler.host.health import ask


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One look. Between two looks with the same `tasks` no request was answered."""

    requests: int
    """Being answered now."""
    tasks: tuple[Any, ...]
    """The last task of each slot: they are numbered, and each request is one or more."""


def slots(endpoint: Endpoint, *, timeout: float = 1.0) -> SlotUse | None:
    """`GET /slots`; None when it does not tell: it is gone, loading, or started with `--no-slots`."""
    try:
        status, answer = ask(endpoint, "GET", "/slots", timeout=timeout)
    except (OSError, http.client.HTTPException):
        return None
    if status != http.client.OK or not isinstance(answer, list):
        return None
    found = [slot for slot in answer if isinstance(slot, dict)]
    return SlotUse(
        sum(bool(slot.get("is_processing")) for slot in found), tuple(slot.get("id_task") for slot in found)
    )
