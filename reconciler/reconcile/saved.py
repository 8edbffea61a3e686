"""A plan in a file: what was shown is what is applied, or nothing is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.errors import FormatError, Refused
from reconciler.core.plan import Plan, Revision
from reconciler.core.types import ModelId
from reconciler.host.files import atomic_write
from reconciler.reconcile.plan import Request

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """Enough to make the same plan again: the spec's own texts, the request, and what came out."""

    spec_folder: str
    texts: dict[str, str]
    revision: Revision
    request: Request
    fingerprint: str


def save(path: Path, plan: Plan, saved: SavedPlan) -> None:
    """Write the plan with everything that `load` needs; readable by people, for nobody else (mode 0600)."""
    document = {
        "format_version": FORMAT_VERSION,
        "plan": plan.document(),
        "spec_folder": saved.spec_folder,
        "texts": saved.texts,
        "request": {
            "prune": saved.request.prune,
            "prune_limit": saved.request.prune_limit,
            "only": sorted(saved.request.only),
        },
        "fingerprint": saved.fingerprint,
    }
    atomic_write(path.absolute(), json.dumps(document, indent=2) + "\n", 0o600)


def load(path: Path) -> SavedPlan:
    """Read a saved plan; FormatError when it is none."""
    hint = "make one with `modelctl plan --out FILE`"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["format_version"] != FORMAT_VERSION:
            raise FormatError(f"{path} was made by another release of modelctl", hint=hint)
        request = document["request"]
        return SavedPlan(
            spec_folder=str(document["spec_folder"]),
            texts={str(name): str(text) for name, text in document["texts"].items()},
            revision=Revision(document["plan"]["spec_revision"], bool(document["plan"]["spec_dirty"])),
            request=Request(
                prune=bool(request["prune"]),
                prune_limit=request["prune_limit"],
                only=frozenset(ModelId(model) for model in request["only"]),
            ),
            fingerprint=str(document["fingerprint"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is not a saved plan", hint=hint) from error


def require_same(saved: SavedPlan, now: Plan) -> None:
    """Refused when making the plan again gives another one: the machine moved since."""
    if now.fingerprint != saved.fingerprint:
        raise Refused(
            "the saved plan is stale: the machine is not as it was when the plan was made",
            hint="make a new one: modelctl plan --out FILE",
        )
