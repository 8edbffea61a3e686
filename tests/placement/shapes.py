"""Real models' shapes as header-complete GGUF files whose data is a hole, so that 140 GB take no disk.

Figures are those of the published configurations; quantisation follows what is usually downloaded.
"""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np

from reconciler.gguf.header import GgufHeader
from reconciler.gguf.reader import Part, read_header
from reconciler.gguf.types import tensor_type
from reconciler.host.gguf_file import open_local

Key = int | float | bool | str | list[int]
Entry = tuple[str, list[int], str]


@dataclass(frozen=True)
class Shape:
    name: str
    architecture: str
    keys: dict[str, Key]
    tensors: tuple[Entry, ...]


def write(shape: Shape, folder: Path) -> Path:
    """Write the model unless it is there already; returns its path."""
    path = folder / f"{shape.name}.gguf"
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    writer = gguf.GGUFWriter(partial, shape.architecture)
    writer.add_string("tokenizer.ggml.model", "none")
    for key, value in shape.keys.items():
        name = f"{shape.architecture}.{key}"
        match value:
            case bool():
                writer.add_bool(name, value)
            case int():
                writer.add_uint32(name, value)
            case float():
                writer.add_float32(name, value)
            case str():
                writer.add_string(name, value)
            case _:
                writer.add_array(name, value)
    for name, dims, kind in shape.tensors:
        known = tensor_type(kind)
        nbytes = math.prod(dims) // known.block * known.block_bytes
        raw = gguf.GGMLQuantizationType(known.id)
        writer.add_tensor_info(name, list(reversed(dims)), np.dtype(np.float32), nbytes, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    _extend(partial)
    partial.rename(path)
    return path


def header(path: Path) -> GgufHeader:
    with open_local(path) as file:
        return read_header(Part(file, path.name))


def _extend(path: Path) -> None:
    """Give the file its full length without writing data."""

    class Endless:
        size = None

        def __call__(self, offset: int, size: int, /) -> bytes:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)

    found = read_header(Part(Endless(), path.name))
    end = max(tensor.offset + tensor.nbytes for tensor in found.tensors)
    with path.open("r+b") as file:
        file.truncate(found.data_offset + end)


def _model(
    name: str,
    architecture: str,
    *,
    keys: dict[str, Key],
    vocabulary: int,
    width: int,
    layer: Callable[[int], Iterator[Entry]],
    embedding: str = "q4_k",
    output: str | None = "q6_k",
    extra: tuple[Entry, ...] = (),
) -> Shape:
    layers = keys["block_count"]
    assert isinstance(layers, int)
    head = [("token_embd.weight", [width, vocabulary], embedding), ("output_norm.weight", [width], "f32")]
    if output is not None:
        head.append(("output.weight", [width, vocabulary], output))
    tensors = [
        (f"blk.{number}.{part}", dims, kind) for number in range(layers) for part, dims, kind in layer(number)
    ]
    common: dict[str, Key] = {
        "vocab_size": vocabulary,
        "context_length": 131072,
        "embedding_length": width,
        "attention.layer_norm_rms_epsilon": 1e-6,
    }
    return Shape(name, architecture, common | keys, (*head, *extra, *tensors))


def _kinds(number: int, layers: int, base: str) -> tuple[str, str]:
    """Types of (most, attn_v and ffn_down): the K-quants' M mix keeps an eighth and every third larger."""
    if base != "q4_k":
        return base, base
    larger = number < layers // 8 or number >= 7 * layers // 8 or (number - layers // 8) % 3 == 2
    return base, "q6_k" if larger else base


def _attention(width: int, q: int, kv: int, kind: str, kind_v: str) -> Iterator[Entry]:
    yield "attn_norm.weight", [width], "f32"
    yield "attn_q.weight", [width, q], kind
    yield "attn_k.weight", [width, kv], kind
    yield "attn_v.weight", [width, kv], kind_v
    yield "attn_output.weight", [q, width], kind


def _feed_forward(width: int, ff: int, kind: str, kind_down: str) -> Iterator[Entry]:
    yield "ffn_norm.weight", [width], "f32"
    yield "ffn_gate.weight", [width, ff], kind
    yield "ffn_up.weight", [width, ff], kind
    yield "ffn_down.weight", [ff, width], kind_down


def _experts(width: int, ff: int, count: int, kind: str, kind_down: str) -> Iterator[Entry]:
    yield "ffn_gate_inp.weight", [width, count], "f32"
    yield "ffn_gate_exps.weight", [width, ff, count], kind
    yield "ffn_up_exps.weight", [width, ff, count], kind
    yield "ffn_down_exps.weight", [ff, width, count], kind_down


def _shared_expert(width: int, ff: int, kind: str) -> Iterator[Entry]:
    yield "ffn_gate_shexp.weight", [width, ff], kind
    yield "ffn_up_shexp.weight", [width, ff], kind
    yield "ffn_down_shexp.weight", [ff, width], kind


def _dense(
    name: str,
    architecture: str,
    *,
    layers: int,
    width: int,
    ff: int,
    heads: int,
    heads_kv: int,
    vocabulary: int,
    head: int,
    base: str = "q4_k",
    bias: bool = False,
    norms: bool = False,
    tied: bool = False,
    extra: tuple[Entry, ...] = (),
) -> Shape:
    def layer(number: int) -> Iterator[Entry]:
        kind, larger = _kinds(number, layers, base)
        yield from _attention(width, heads * head, heads_kv * head, kind, larger)
        if bias:
            yield "attn_q.bias", [heads * head], "f32"
            yield "attn_k.bias", [heads_kv * head], "f32"
            yield "attn_v.bias", [heads_kv * head], "f32"
        if norms:
            yield "attn_q_norm.weight", [head], "f32"
            yield "attn_k_norm.weight", [head], "f32"
        yield from _feed_forward(width, ff, kind, larger)

    return _model(
        name,
        architecture,
        keys={
            "block_count": layers,
            "feed_forward_length": ff,
            "attention.head_count": heads,
            "attention.head_count_kv": heads_kv,
            "attention.key_length": head,
            "attention.value_length": head,
            "rope.dimension_count": head,
        },
        vocabulary=vocabulary,
        width=width,
        layer=layer,
        embedding=base,
        output=None if tied else "q6_k",
        extra=extra,
    )


def qwen3_moe(name: str, layers: int, width: int, ff: int, heads: int) -> Shape:
    def layer(number: int) -> Iterator[Entry]:
        kind, larger = _kinds(number, layers, "q4_k")
        yield from _attention(width, heads * 128, 512, kind, larger)
        yield "attn_q_norm.weight", [128], "f32"
        yield "attn_k_norm.weight", [128], "f32"
        yield "ffn_norm.weight", [width], "f32"
        yield from _experts(width, ff, 128, kind, larger)

    return _model(
        name,
        "qwen3moe",
        keys={
            "block_count": layers,
            "feed_forward_length": 3 * width,
            "expert_feed_forward_length": ff,
            "expert_count": 128,
            "expert_used_count": 8,
            "attention.head_count": heads,
            "attention.head_count_kv": 4,
            "attention.key_length": 128,
            "attention.value_length": 128,
        },
        vocabulary=151936,
        width=width,
        layer=layer,
    )


def gemma3_12b() -> Shape:
    def layer(number: int) -> Iterator[Entry]:
        yield from _attention(3840, 4096, 2048, "q4_0", "q4_0")
        yield from _feed_forward(3840, 15360, "q4_0", "q4_0")
        for norm, size in (
            ("attn_q_norm", 256),
            ("attn_k_norm", 256),
            ("post_attention_norm", 3840),
            ("post_ffw_norm", 3840),
        ):
            yield f"{norm}.weight", [size], "f32"

    return _model(
        "gemma-3-12b",
        "gemma3",
        keys={
            "block_count": 48,
            "feed_forward_length": 15360,
            "attention.head_count": 16,
            "attention.head_count_kv": 8,
            "attention.key_length": 256,
            "attention.value_length": 256,
            "attention.sliding_window": 1024,
        },
        vocabulary=262208,
        width=3840,
        layer=layer,
        embedding="q6_k",
        output=None,
    )


def deepseek(name: str, *, layers: int, width: int, heads: int, q_rank: int, experts: int, ff: int) -> Shape:
    """DeepSeek V2 Lite and V3: latent attention (rank 512, 64 rope), shared experts, dense first layers."""
    lead = 3 if q_rank else 1
    dense_ff = 18432 if q_rank else 10944
    shared = 1 if q_rank else 2

    def layer(number: int) -> Iterator[Entry]:
        yield "attn_norm.weight", [width], "f32"
        if q_rank:
            yield "attn_q_a_norm.weight", [q_rank], "f32"
            yield "attn_q_a.weight", [width, q_rank], "q4_k"
            yield "attn_q_b.weight", [q_rank, heads * 192], "q4_k"
        else:
            yield "attn_q.weight", [width, heads * 192], "q4_k"
        yield "attn_kv_a_norm.weight", [512], "f32"
        yield "attn_kv_a_mqa.weight", [width, 576], "q8_0"
        yield "attn_k_b.weight", [128, 512, heads], "q8_0"
        yield "attn_v_b.weight", [512, 128, heads], "q8_0"
        yield "attn_output.weight", [heads * 128, width], "q4_k"
        if number < lead:
            yield from _feed_forward(width, dense_ff, "q8_0", "q8_0")
            return
        yield "ffn_norm.weight", [width], "f32"
        if q_rank:
            yield "exp_probs_b.bias", [experts], "f32"
        yield from _experts(
            width, ff, experts, "q8_0" if ff % 256 else "q4_k", "q8_0" if ff % 256 else "q4_k"
        )
        yield from _shared_expert(width, ff * shared, "q8_0")

    keys: dict[str, Key] = {
        "block_count": layers,
        "feed_forward_length": dense_ff,
        "expert_feed_forward_length": ff,
        "expert_count": experts,
        "expert_used_count": 8 if q_rank else 6,
        "expert_shared_count": shared,
        "leading_dense_block_count": lead,
        "attention.head_count": heads,
        "attention.head_count_kv": 1,
        "attention.key_length": 576,
        "attention.value_length": 512,
        "attention.key_length_mla": 192,
        "attention.value_length_mla": 128,
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
    }
    if q_rank:
        keys["attention.q_lora_rank"] = q_rank
    return _model(
        name,
        "deepseek2",
        keys=keys,
        vocabulary=129280 if q_rank else 102400,
        width=width,
        layer=layer,
    )


def deepseek_v3(*, prediction: bool = False) -> Shape:
    """With `prediction` it has one more block, which guesses the token after the next."""
    if not prediction:
        return deepseek("deepseek-v3", layers=61, width=7168, heads=128, q_rank=1536, experts=256, ff=2048)
    plain = deepseek("deepseek-v3-mtp", layers=62, width=7168, heads=128, q_rank=1536, experts=256, ff=2048)
    extra: tuple[Entry, ...] = (
        ("blk.61.nextn.eh_proj.weight", [2 * 7168, 7168], "q8_0"),
        ("blk.61.nextn.enorm.weight", [7168], "f32"),
        ("blk.61.nextn.hnorm.weight", [7168], "f32"),
        ("blk.61.nextn.shared_head_norm.weight", [7168], "f32"),
    )
    keys = plain.keys | {"nextn_predict_layers": 1}
    return replace(plain, keys=keys, tensors=plain.tensors + extra)


def gpt_oss_20b() -> Shape:
    width, experts = 2880, 32

    def layer(number: int) -> Iterator[Entry]:
        yield from _attention(width, 4096, 512, "q8_0", "q8_0")
        for name, size in (("q", 4096), ("k", 512), ("v", 512), ("output", width)):
            yield f"attn_{name}.bias", [size], "f32"
        yield "post_attention_norm.weight", [width], "f32"
        yield "attn_sinks.weight", [64], "f32"
        yield from _experts(width, width, experts, "mxfp4", "mxfp4")
        yield "ffn_gate_inp.bias", [experts], "f32"
        for name in ("gate", "up", "down"):
            yield f"ffn_{name}_exps.bias", [width, experts], "f32"

    return _model(
        "gpt-oss-20b",
        "gpt-oss",
        keys={
            "block_count": 24,
            "feed_forward_length": width,
            "expert_feed_forward_length": width,
            "expert_count": experts,
            "expert_used_count": 4,
            "attention.head_count": 64,
            "attention.head_count_kv": 8,
            "attention.key_length": 64,
            "attention.value_length": 64,
            "attention.sliding_window": 128,
        },
        vocabulary=201088,
        width=width,
        layer=layer,
        embedding="q8_0",
        output="q8_0",
    )


def granite_4_small() -> Shape:
    """Granite 4.0 H Small: Mamba-2 in 36 of 40 layers, attention in four, experts in all."""
    width, inner = 4096, 8192
    attention = (5, 15, 25, 35)

    def layer(number: int) -> Iterator[Entry]:
        if number in attention:
            yield from _attention(width, 4096, 1024, "q4_k", "q4_k")
        else:
            yield "attn_norm.weight", [width], "f32"
            yield "ssm_in.weight", [width, 2 * inner + 2 * 128 + 128], "q4_k"
            yield "ssm_conv1d.weight", [4, inner + 2 * 128], "f32"
            yield "ssm_conv1d.bias", [inner + 2 * 128], "f32"
            yield "ssm_dt.bias", [128], "f32"
            yield "ssm_a", [1, 128], "f32"
            yield "ssm_d", [1, 128], "f32"
            yield "ssm_norm.weight", [inner, 1], "f32"
            yield "ssm_out.weight", [inner, width], "q4_k"
        yield "ffn_norm.weight", [width], "f32"
        yield from _experts(width, 768, 72, "q4_k", "q4_k")
        yield from _shared_expert(width, 1536, "q4_k")

    return _model(
        "granite-4-h-small",
        "granitehybrid",
        keys={
            "block_count": 40,
            "feed_forward_length": 768,
            "expert_shared_feed_forward_length": 1536,
            "expert_count": 72,
            "expert_used_count": 10,
            "attention.head_count": 32,
            "attention.head_count_kv": [8 if number in attention else 0 for number in range(40)],
            "ssm.conv_kernel": 4,
            "ssm.inner_size": inner,
            "ssm.state_size": 128,
            "ssm.time_step_rank": 128,
            "ssm.group_count": 1,
        },
        vocabulary=100352,
        width=width,
        layer=layer,
        embedding="q6_k",
        output=None,
    )


def qwen3_next_80b() -> Shape:
    """Three of four layers are gated delta nets; 512 experts, one shared."""
    width, inner = 2048, 4096

    def layer(number: int) -> Iterator[Entry]:
        if (number + 1) % 4 == 0:
            yield "attn_norm.weight", [width], "f32"
            yield "attn_q.weight", [width, 8192], "q4_k"  # heads and their gates
            yield "attn_k.weight", [width, 512], "q4_k"
            yield "attn_v.weight", [width, 512], "q4_k"
            yield "attn_output.weight", [4096, width], "q4_k"
            yield "attn_q_norm.weight", [256], "f32"
            yield "attn_k_norm.weight", [256], "f32"
        else:
            yield "attn_norm.weight", [width], "f32"
            yield "attn_qkv.weight", [width, 2 * 2048 + inner], "q4_k"
            yield "attn_gate.weight", [width, inner], "q4_k"
            yield "ssm_conv1d.weight", [4, 2 * 2048 + inner], "f32"
            yield "ssm_dt.bias", [32], "f32"
            yield "ssm_a", [32], "f32"
            yield "ssm_ba.weight", [width, 64], "q4_k"
            yield "ssm_norm.weight", [128], "f32"
            yield "ssm_out.weight", [inner, width], "q4_k"
        yield "post_attention_norm.weight", [width], "f32"
        yield from _experts(width, 512, 512, "q4_k", "q4_k")
        yield "ffn_gate_inp_shexp.weight", [width], "f32"
        yield from _shared_expert(width, 512, "q4_k")

    return _model(
        "qwen3-next-80b",
        "qwen3next",
        keys={
            "block_count": 48,
            "feed_forward_length": 5120,
            "expert_feed_forward_length": 512,
            "expert_shared_feed_forward_length": 512,
            "expert_count": 512,
            "expert_used_count": 10,
            "attention.head_count": 16,
            "attention.head_count_kv": 2,
            "attention.key_length": 256,
            "attention.value_length": 256,
            "rope.dimension_count": 64,
            "ssm.conv_kernel": 4,
            "ssm.inner_size": inner,
            "ssm.state_size": 128,
            "ssm.time_step_rank": 32,
            "ssm.group_count": 16,
        },
        vocabulary=151936,
        width=width,
        layer=layer,
    )


def tiny() -> Shape:
    """A model whose zeros a server really loads; 25 MB."""
    return _dense(
        "tiny",
        "llama",
        layers=6,
        width=512,
        ff=1536,
        heads=8,
        heads_kv=2,
        vocabulary=32000,
        head=64,
        base="q8_0",
    )


_BUILDERS: dict[str, Callable[[], Shape]] = {
    "qwen2.5-7b": lambda: _dense(
        "qwen2.5-7b", "qwen2", layers=28, width=3584, ff=18944, heads=28, heads_kv=4, vocabulary=152064,
        head=128, bias=True,
    ),
    "llama-3.1-8b": lambda: _dense(
        "llama-3.1-8b", "llama", layers=32, width=4096, ff=14336, heads=32, heads_kv=8, vocabulary=128256,
        head=128, extra=(("rope_freqs.weight", [64], "f32"),),
    ),
    "llama-3.1-70b": lambda: _dense(
        "llama-3.1-70b", "llama", layers=80, width=8192, ff=28672, heads=64, heads_kv=8, vocabulary=128256,
        head=128, extra=(("rope_freqs.weight", [64], "f32"),),
    ),
    "qwen3-4b": lambda: _dense(
        "qwen3-4b", "qwen3", layers=36, width=2560, ff=9728, heads=32, heads_kv=8, vocabulary=151936,
        head=128, base="q8_0", norms=True, tied=True,
    ),
    "qwen3-30b-a3b": lambda: qwen3_moe("qwen3-30b-a3b", 48, 2048, 768, 32),
    "qwen3-235b-a22b": lambda: qwen3_moe("qwen3-235b-a22b", 94, 4096, 1536, 64),
    "gemma-3-12b": gemma3_12b,
    "deepseek-v2-lite": lambda: deepseek(
        "deepseek-v2-lite", layers=27, width=2048, heads=16, q_rank=0, experts=64, ff=1408
    ),
    "deepseek-v3": deepseek_v3,
    "gpt-oss-20b": gpt_oss_20b,
    "granite-4-h-small": granite_4_small,
    "qwen3-next-80b": qwen3_next_80b,
}  # fmt: skip

NAMES = tuple(_BUILDERS)


@functools.cache
def shape(name: str) -> Shape:
    return _BUILDERS[name]()
