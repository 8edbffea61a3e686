"""What is loaded beside a model: adapters, an image projector, a draft model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader, Tensor
from reconciler.placement.memory import Beside, Model, Split, estimate
from reconciler.placement.overflow import PARTS, of_experts, part_of
from reconciler.placement.settings import Settings
from reconciler.placement.weights import LayerWeights, Weights, block_tensors

_F32 = 4
_ROWS_OF_WIDTH = 8
"""Activations of a vision block that are alive at once, in rows of its width, beside its feed-forward."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A small model that guesses ahead (`--spec-draft-model`), with its own context and cache types."""

    model: Model
    settings: Settings


def attach(
    model: Model,
    *,
    adapters: Iterable[GgufHeader] = (),
    projector: GgufHeader | None = None,
    draft: Draft | None = None,
) -> Model:
    """The model with what is loaded beside it. Projector and draft go to the first device that it uses."""
    device = host = 0
    if projector is not None:
        device += projector.tensor_bytes + _projector_buffer(projector)
    if draft is not None:
        report = estimate(draft.model, draft.settings, Split(0, (draft.model.slots,)))
        device += report.devices[0].total
        host += report.host.total
    weights = model.weights
    for adapter in adapters:
        weights = _with_adapter(weights, adapter)
    return replace(model, weights=weights, beside=Beside(Bytes(device), Bytes(host)))


def _with_adapter(weights: Weights, adapter: GgufHeader) -> Weights:
    """A LoRA adapter's tensors lie on the devices of their layers."""
    blocks = block_tensors(adapter, len(weights.layers))
    layers = tuple(_with_more(layer, tensors) for layer, tensors in zip(weights.layers, blocks, strict=True))
    added = sum(layer.total for layer in layers) - sum(layer.total for layer in weights.layers)
    output = Bytes(weights.output + adapter.tensor_bytes - added)
    return replace(weights, layers=layers, output=output)


def _with_more(layer: LayerWeights, tensors: Mapping[str, Tensor]) -> LayerWeights:
    """An adapter's tensors stay in RAM where those do that they adapt."""
    shared, experts, parts = layer.shared, layer.experts, list(layer.feed_forward)
    for name, tensor in tensors.items():
        part = part_of(name)
        if part is not None:
            parts[part] = Bytes(parts[part] + tensor.nbytes)
        if part is not None and of_experts(PARTS[part]):
            experts = Bytes(experts + tensor.nbytes)
        else:
            shared = Bytes(shared + tensor.nbytes)
    return replace(layer, shared=shared, experts=experts, feed_forward=tuple(parts))


def _projector_buffer(header: GgufHeader) -> int:
    """An upper guess at the buffer for one image of the trained size; llama.cpp's depends on the image."""
    image, patch = _number(header, "image_size"), _number(header, "patch_size")
    if not patch:
        return 0
    patches = (image // patch) ** 2
    width, inner = _number(header, "embedding_length"), _number(header, "feed_forward_length")
    heads = _number(header, "attention.head_count")
    return patches * (_ROWS_OF_WIDTH * width + 2 * inner + heads * patches) * _F32


def _number(header: GgufHeader, key: str) -> int:
    value = header.metadata.get(f"clip.vision.{key}", 0)
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**24 else 0
