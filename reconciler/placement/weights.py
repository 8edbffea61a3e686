"""Which part of a model each tensor belongs to, and so which device it goes to."""

import re
from dataclasses import dataclass

from reconciler.core.types import Bytes
from reconciler.gguf.header import GgufHeader, Tensor
from reconciler.placement.architecture import Architecture

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

    @property
    def total(self) -> Bytes:
        return Bytes(self.shared + self.experts)


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


def read_weights(header: GgufHeader, architecture: Architecture) -> Weights:
    """Sort the tensors by layer. Prediction blocks count as empty: a server does not load them."""
    count = len(architecture.layers)
    shared, experts, largest = [0] * count, [0] * count, [0] * count
    entry = output = tied = 0
    has_output = False
    for tensor in header.tensors:
        place = _BLOCK.match(tensor.name)
        if place is None:
            if tensor.name.startswith(_INPUT):
                entry += tensor.nbytes
                tied += tensor.nbytes if tensor.name == _TIED else 0
            elif tensor.name.startswith("rope_"):
                shared[0] += tensor.nbytes
            else:
                output += tensor.nbytes
                has_output |= tensor.name == "output.weight"
            continue
        number = min(int(place[1]), count - 1)
        if number >= architecture.running_layers:
            continue
        if _EXPERTS.match(place[2]):
            experts[number] += tensor.nbytes
            largest[number] = max(largest[number], tensor.nbytes)
        else:
            shared[number] += tensor.nbytes
    tied = 0 if has_output else tied
    layers = zip(shared, experts, largest, strict=True)
    return Weights(
        input=Bytes(entry),
        layers=tuple(LayerWeights(Bytes(one), Bytes(two), Bytes(three)) for one, two, three in layers),
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
