"""Which part of a model each tensor belongs to, and so which device it goes to."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader, Tensor
from reconciler.placement.architecture import Architecture
from reconciler.placement.overflow import PARTS, part_of

_BLOCK = re.compile(r"^blk\.(\d+)\.(.+)$")
_EXPERTS = re.compile(r"^ffn_(up|down|gate|gate_up)_(ch|)exps")
"""What `-ncmoe` moves; `LLM_FFN_EXPS_REGEX` of llama.cpp's common.h."""
_INPUT = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.", "masked_embd_")
"""Tensors that llama.cpp always keeps on the CPU (`LLM_TENSOR_LAYER_INPUT`)."""
_TIED = "token_embd.weight"


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """Bytes of one block; `experts` are those that can be left on the CPU alone."""

    shared: Bytes
    experts: Bytes
    largest_expert: Bytes
    """The largest single expert tensor, which a GPU copies whole when it computes a long prompt with it."""
    largest: Bytes
    """The same of all tensors."""
    feed_forward: tuple[Bytes, ...]
    """Its matrices by `PARTS`: what can be left on the CPU one by one."""

    @property
    def total(self) -> Bytes:
        return Bytes(self.shared + self.experts)

    def parts(self, names: Iterable[str]) -> Bytes:
        """Bytes of these parts of the feed-forward."""
        return Bytes(sum(self.feed_forward[PARTS.index(name)] for name in names))


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes by place."""

    input: Bytes
    layers: tuple[LayerWeights, ...]
    output: Bytes
    """Final norm and output matrix. A model without one of its own uses its embeddings."""
    tied: Bytes
    """Part of `output` that is a second copy of `input`, needed only when the output is not on the CPU."""

    @property
    def total(self) -> Bytes:
        """All bytes as in the file."""
        return Bytes(self.input + self.output - self.tied + sum(layer.total for layer in self.layers))


class _Sum:
    """What is found of one layer."""

    def __init__(self) -> None:
        self.shared = self._experts = self._largest_expert = self._largest = 0
        self._parts = [0] * len(PARTS)

    def add(self, name: str, nbytes: int) -> None:
        self._largest = max(self._largest, nbytes)
        if _EXPERTS.match(name):
            self._experts += nbytes
            self._largest_expert = max(self._largest_expert, nbytes)
        else:
            self.shared += nbytes
        part = part_of(name)
        if part is not None:
            self._parts[part] += nbytes

    def weights(self) -> LayerWeights:
        return LayerWeights(
            shared=Bytes(self.shared),
            experts=Bytes(self._experts),
            largest_expert=Bytes(self._largest_expert),
            largest=Bytes(self._largest),
            feed_forward=tuple(Bytes(size) for size in self._parts),
        )


def read_weights(header: GgufHeader, architecture: Architecture) -> Weights:
    """Sort the tensors by layer. Prediction blocks count as empty: a server does not load them."""
    count = len(architecture.layers)
    layers = [_Sum() for _ in range(count)]
    entry = output = tied = 0
    has_output = False
    for tensor in header.tensors:
        place = _BLOCK.match(tensor.name)
        if place is None:
            if tensor.name.startswith(_INPUT):
                entry += tensor.nbytes
                tied += tensor.nbytes if tensor.name == _TIED else 0
            elif tensor.name.startswith("rope_"):
                layers[0].shared += tensor.nbytes
            else:
                output += tensor.nbytes
                has_output |= tensor.name == "output.weight"
            continue
        number = min(int(place[1]), count - 1)
        if number < architecture.running_layers:
            layers[number].add(place[2], tensor.nbytes)
    tied = 0 if has_output else tied
    return Weights(
        input=Bytes(entry),
        layers=tuple(layer.weights() for layer in layers),
        output=Bytes(output + tied),
        tied=Bytes(tied),
    )


def block_tensors(header: GgufHeader, count: int) -> tuple[dict[str, Tensor], ...]:
    """The tensors of each of the first `count` blocks by their names within it."""
    found: tuple[dict[str, Tensor], ...] = tuple({} for _ in range(count))
    for tensor in header.tensors:
        place = _BLOCK.match(tensor.name)
        if place is not None and int(place[1]) < count:
            found[int(place[1])][place[2]] = tensor
    return found
