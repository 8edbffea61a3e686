"""What runtimes take and what is left, for people: `modelctl placement`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.core.errors import EngineError, ModelctlError
from reconciler.core.types import Bytes, ModelId, UnitName
from reconciler.host.fit_params import PROGRAM, Opinion, ask_fit_params, find_fit_params
from reconciler.host.state import State
from reconciler.kinds.placement.figures import Figures, claim_of
from reconciler.kinds.placement.layout import of_record
from reconciler.kinds.placement.plan import PlacementPlan, machine_of
from reconciler.kinds.placement.remember import remembered
from reconciler.kinds.placement.types import DeviceKind, Ground, Layout, Part, Record, Wish
from reconciler.placement.ledger import most_copies
from reconciler.placement.memory import ALONE, DeviceMemory, Split, estimate
from reconciler.placement.overflow import Overflow
from reconciler.reconcile.desired import ActiveProfile
from reconciler.reconcile.headers import figures_of
from reconciler.reconcile.placement import Survey, survey
from reconciler.reconcile.placing import settled
from reconciler.reconcile.site import Site
from reconciler.spec.model import Spec

WORTH_SAYING = 0.05
"""A gap to the second opinion above this share is flagged."""
_ROUNDING = 3 * 1024**2
"""The second opinion is three figures, each rounded down to the MiB."""


@dataclass(frozen=True, slots=True)
class Check:
    """Our figure beside llama.cpp's for one device, in bytes."""

    device: str
    ours: Bytes
    theirs: Bytes

    @property
    def gap(self) -> float:
        return (self.ours - self.theirs) / max(1, self.theirs)

    @property
    def flagged(self) -> bool:
        return abs(self.gap) > WORTH_SAYING and abs(self.ours - self.theirs) > _ROUNDING

    def document(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "ours_bytes": self.ours,
            "theirs_bytes": self.theirs,
            "gap": round(self.gap, 4),
            "flagged": self.flagged,
        }


@dataclass(frozen=True, slots=True)
class View:
    """The ledger of the active profile."""

    ground: Ground
    wishes: tuple[Wish, ...]
    plan: PlacementPlan
    kept: frozenset[UnitName]
    """Those whose placement stands in overrides-cache already."""
    found: Survey

    def document(self) -> dict[str, Any]:
        """Sizes in bytes."""
        return {
            "profile": self.ground.profile,
            "engine": self.ground.engine,
            "devices": [self._device(device.id, device.name) for device in self.ground.devices],
            "ram": self._ram(),
            "runtimes": [self._runtime(wish) for wish in self.wishes],
            "warnings": list(self.plan.warnings),
        }

    def _device(self, id_: str, name: str) -> dict[str, Any]:
        device = next(device for device in self.ground.devices if device.id == id_)
        reserved = self.ground.reserved_vram if device.kind is DeviceKind.NVIDIA else 0
        placed = sum(part.total for part in self._parts() if part.id == id_)
        return {
            "id": id_,
            "name": name,
            "kind": device.kind.value,
            "total_bytes": device.total,
            "reserved_bytes": reserved,
            "placed_bytes": placed,
            "free_bytes": device.total - reserved - placed,
        }

    def _ram(self) -> dict[str, Any]:
        placed: int = sum(record.ram.total for record in self.plan.records.values())
        if self.ground.unified:
            placed += sum(part.total for part in self._parts())
        return {
            "total_bytes": self.ground.ram,
            "reserved_bytes": self.ground.reserved_ram,
            "placed_bytes": placed,
            "free_bytes": self.ground.ram - self.ground.reserved_ram - placed,
            "prompt_cache_bytes": sum(
                wish.cache_ram for wish in self.wishes if wish.unit in self.plan.records
            ),
        }

    def _parts(self) -> list[Part]:
        return [part for record in self.plan.records.values() for part in record.devices]

    def _runtime(self, wish: Wish) -> dict[str, Any]:
        layout, record = self.plan.layouts[wish.unit], self.plan.records.get(wish.unit)
        known: dict[str, Any] = {} if record is None else _figures_document(record)
        return {
            "name": wish.unit,
            "model": wish.model,
            "version": wish.version,
            "strategy": wish.strategy,
            "resolved": bool(wish.artifacts),
            "placed": record is not None,
            "kept": wish.unit in self.kept,
            "flags": list(layout.flags),
            "environment": dict(layout.environment),
            "reason": layout.blocked[0] if layout.blocked else None,
            "hint": layout.blocked[1] if layout.blocked else None,
            "prompt_cache_bytes": wish.cache_ram,
            **known,
        }


def _figures_document(record: Record) -> dict[str, Any]:
    return {
        "devices": [_part_document(part) for part in record.devices],
        "ram": _part_document(record.ram),
        "expert_layers_in_ram": record.expert_layers_in_ram,
        "feed_forward_in_ram": {str(layer): list(parts) for layer, parts in record.feed_forward_in_ram},
        "feed_forward_on_next_device": {
            str(layer): list(parts) for layer, parts in record.feed_forward_on_next_device
        },
        "expected_tokens_per_second": round(1 / record.seconds_per_token, 1)
        if record.seconds_per_token
        else None,
        "exact": record.exact,
        "trained_context": record.trained_context,
    }


def _part_document(part: Part) -> dict[str, Any]:
    return {
        "id": part.id,
        "layers": part.layers,
        "model_bytes": part.model,
        "context_bytes": part.context,
        "compute_bytes": part.compute,
        "other_bytes": part.beside,
        "total_bytes": part.total,
    }


def look(spec: Spec, site: Site, state: State, active: ActiveProfile, model: ModelId | None = None) -> View:
    """Every `always` runtime of the active profile, and `model`, should it be another. Changes nothing.

    ModelctlError when no profile can be active.
    """
    if active.name is None:
        raise ModelctlError("no profile can be active now", hint="`modelctl gpu` says why")
    found = survey(spec, site, active, also=model)
    if found.recalled.missing:
        plan = settled(found, spec, site, state, active.gpus, unresolved=True)
    else:
        layouts, warnings = remembered(found.wishes, found.ground, found.recalled.kept)
        plan = PlacementPlan(layouts, found.recalled.kept, warnings=(*found.recalled.warnings, *warnings))
    return View(found.ground, found.wishes, plan, frozenset(found.recalled.kept), found)


def copies(view: View, wish: Wish, site: Site) -> int | None:
    """How many runtimes like this one the machine holds when it holds nothing else; None where its header
    cannot be read.

    Each with its prompt cache full.
    """
    figures = _figures(view, wish, site)
    if figures is None:
        return None
    claim = claim_of(wish, view.ground, figures)
    claim = replace(claim, settings=replace(claim.settings, cache_ram=wish.cache_ram))
    if view.ground.devices:
        return most_copies(claim, machine_of(view.ground, {}, ()))
    whole = estimate(claim.model, claim.settings, Split(claim.model.slots, ()))
    each = whole.host.total + wish.cache_ram
    return max(0, view.ground.ram - view.ground.reserved_ram) // each


def check(view: View, wish: Wish, site: Site, model_path: str) -> tuple[Check, ...]:
    """Our figures beside those of llama-fit-params; EngineError where it is missing or does not answer."""
    program = find_fit_params(site.engine.command)
    if program is None:
        raise EngineError(
            f"{PROGRAM} is neither beside {site.engine.command[0]} nor on PATH",
            hint="it is part of llama.cpp's own builds",
        )
    record, figures = view.plan.records.get(wish.unit), _figures(view, wish, site)
    if record is None or figures is None or not Path(model_path).exists():
        raise EngineError(
            f"{wish.unit} has no placement to check, or its model is not in the store",
            hint=f"modelctl pull {wish.model}",
        )
    claim = claim_of(wish, view.ground, figures)
    # The program reckons with logits for a whole batch, a server with one per slot.
    settings = replace(claim.settings, outputs=None)
    split = Split(
        record.ram.layers if record.devices else claim.model.slots,
        tuple(part.layers for part in record.devices),
        record.expert_layers_in_ram,
        tuple(Overflow(layer, parts) for layer, parts in record.feed_forward_in_ram),
        tuple(Overflow(layer, parts) for layer, parts in record.feed_forward_on_next_device),
    )
    bare = replace(claim.model, beside=ALONE)
    report = estimate(bare, settings, split)
    layout = of_record(record, wish, view.ground)
    theirs = ask_fit_params(
        program, _arguments(model_path, wish, claim.settings.context, layout), dict(layout.environment)
    )
    return _compare((*report.devices, report.host), theirs)


def _arguments(model_path: str, wish: Wish, context: int, layout: Layout) -> list[str]:
    arguments = ["--model", model_path, "--ctx-size", str(context), "--parallel", str(wish.parallel)]
    for name, value in wish.flags:
        if value is True:
            arguments.append(f"--{name}")
        elif value is False:
            arguments.append(f"--no-{name}")
        else:
            arguments += [f"--{name}", str(value)]
    return [*arguments, *layout.flags]


def _compare(ours: Sequence[DeviceMemory], theirs: Sequence[Opinion]) -> tuple[Check, ...]:
    if len(ours) != len(theirs):
        raise EngineError(
            f"{PROGRAM} speaks of {len(theirs)} devices, the placement of {len(ours)}",
            hint="is it of the same build as the engine?",
        )
    return tuple(
        Check(opinion.device, own.total, opinion.total) for own, opinion in zip(ours, theirs, strict=True)
    )


def _figures(view: View, wish: Wish, site: Site) -> Figures | None:
    try:
        return figures_of(site.places.store, view.found.versions[wish.unit], site.settings.sources)
    except ModelctlError:
        return None
