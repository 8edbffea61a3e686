"""The tiny model that gives one known answer, with experts in place of its feed-forwards."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import gguf

from reconciler.gguf.write import FloatTensor, Value, write_gguf

_USED = 2


def with_experts(dense: Path, count: int) -> bytes:
    """The model in `dense` with each feed-forward `count` times, of which two are chosen; same answer."""
    reader = gguf.GGUFReader(dense)
    keys: dict[str, Value] = {
        name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")
    }
    experts: dict[str, Value] = {"llama.expert_count": count, "llama.expert_used_count": _USED}
    tensors = [made for tensor in reader.tensors for made in _tensors(tensor, count)]
    return b"".join(write_gguf(keys | experts, tensors))


def _tensors(tensor: gguf.ReaderTensor, count: int) -> Iterator[FloatTensor]:
    dims = tuple(int(size) for size in tensor.shape)
    data = array("f", tensor.data.tobytes())
    block, _, name = tensor.name.rpartition(".ffn_")
    if name not in {"gate.weight", "up.weight", "down.weight"}:
        yield FloatTensor(tensor.name, dims, data)
        return
    part = name.removesuffix(".weight")
    if part == "gate":
        yield FloatTensor(f"{block}.ffn_gate_inp.weight", (dims[0], count), data[: dims[0] * count])
    yield FloatTensor(f"{block}.ffn_{part}_exps.weight", (*dims, count), data * count)
