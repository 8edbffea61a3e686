"""A model of a few hundred kilobytes that gives one known answer, so that one can see who answered.

It is a llama in every respect: header, byte-level vocabulary, chat template, attention, feed-forward.
But the last matrices of attention and feed-forward are zero, so that a token's hidden state is its
embedding, and the next token depends on the last one alone. Embeddings and output rows are rows of a
Hadamard matrix, orthogonal to each other: the embedding of a token is the output row of its
successor, whose logit is the width of the model while all others are near zero. The chain goes from
any token of a prompt to the first word of the answer, on through its words, and to the end of text.
"""

import random
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from reconciler.gguf.write import FloatTensor, Value, write_gguf

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_BEGIN, _END = 0, 2
_NORMAL, _CONTROL = 1, 3

# ChatML, so that llama.cpp's own `--chat-template chatml` fits as well.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_HEAD = 32
"""Elements of an attention head: the block of llama.cpp's quantised KV types, so that they work too."""
_MIN_WIDTH = 64
_NOISE = 0.05
"""What tells tokens with the same successor apart, for embeddings; too small to change a successor."""


def tiny_model(
    answer: str, *, name: str = "tiny", seed: int = 0, layers: int = 2, context_tokens: int = 8192
) -> bytes:
    """A GGUF file whose chat answer to anything is exactly `answer`, at every sampling temperature in use.

    The same arguments give the same bytes; another `seed` gives another file with the same answer. Made in
    some hundredths of a second. ValueError when `answer` is empty.
    """
    if not answer:
        raise ValueError("an answer needs at least one character")
    words = split_answer(answer)
    width = _MIN_WIDTH
    while width <= len(words) + 1:
        width *= 2
    shape = _Shape(width, layers, context_tokens)
    vocabulary = _vocabulary(words)
    noise = random.Random(seed)  # noqa: S311 - weights, not secrets
    return b"".join(
        write_gguf(_metadata(name, shape, vocabulary), list(_tensors(shape, words, vocabulary, noise)))
    )


def split_answer(answer: str) -> list[str]:
    """Cut into words with the blanks before them, each different from all others.

    A token has one successor only, so a word that occurs twice, or that is a token already because it is a
    single byte, takes its neighbours along until it is new.
    """
    taken = {*_SPECIAL, *(chr(code) for code in range(128))}
    words: list[str] = []
    pending = ""
    for part in re.findall(r"\s*\S+|\s+$", answer):
        pending += part
        if pending not in taken:
            taken.add(pending)
            words.append(pending)
            pending = ""
    while pending and words:
        pending = words.pop() + pending
        if pending not in taken:
            words.append(pending)
            pending = ""
    return [*words, pending] if pending else words


@dataclass(frozen=True, slots=True)
class _Shape:
    width: int
    layers: int
    context_tokens: int

    @property
    def heads(self) -> int:
        return self.width // _HEAD

    @property
    def hidden(self) -> int:
        return 2 * self.width


def _vocabulary(words: list[str]) -> dict[str, int]:
    """Token texts in order. No merge rule leads to a word, so prompts are read byte by byte."""
    texts = dict.fromkeys((*_SPECIAL, *_BYTES, *(_byte_level(word) for word in words)))
    return {text: token for token, text in enumerate(texts)}


def _metadata(name: str, shape: _Shape, vocabulary: dict[str, int]) -> dict[str, Value]:
    return {
        "general.architecture": "llama",
        "general.name": name,
        "general.file_type": 0,
        "llama.block_count": shape.layers,
        "llama.context_length": shape.context_tokens,
        "llama.embedding_length": shape.width,
        "llama.feed_forward_length": shape.hidden,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "llama.rope.dimension_count": _HEAD,
        "llama.vocab_size": len(vocabulary),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": list(vocabulary),
        "tokenizer.ggml.token_type": [_CONTROL if text in _SPECIAL else _NORMAL for text in vocabulary],
        "tokenizer.ggml.merges": list[str](),
        "tokenizer.ggml.bos_token_id": _BEGIN,
        "tokenizer.ggml.eos_token_id": _END,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def _tensors(
    shape: _Shape, words: list[str], vocabulary: dict[str, int], noise: random.Random
) -> Iterator[FloatTensor]:
    width, hidden, heads = shape.width, shape.hidden, shape.heads

    def filled(name: str, *dims: int) -> FloatTensor:
        return FloatTensor(
            name, dims, array("f", (noise.uniform(-_NOISE, _NOISE) for _ in range(prod(dims))))
        )

    def constant(name: str, value: float, *dims: int) -> FloatTensor:
        return FloatTensor(name, dims, array("f", [value]) * prod(dims))

    chain = [vocabulary[_byte_level(word)] for word in words] + [_END]
    successor = dict.fromkeys(range(len(vocabulary)), chain[0]) | dict(pairwise(chain))
    # Row 0 of the Hadamard matrix is all ones; each token of the chain has one of the others.
    row = {token: _hadamard_row(number, width) for number, token in enumerate(chain, start=1)}

    embedding = filled("token_embd.weight", width, len(vocabulary))
    output = constant("output.weight", 0.0, width, len(vocabulary))
    for token in vocabulary.values():
        for column, sign in enumerate(row[successor[token]]):
            embedding.data[token * width + column] += sign
    for token, signs in row.items():
        output.data[token * width : (token + 1) * width] = signs
    yield embedding
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield constant(f"{block}.attn_norm.weight", 1.0, width)
        yield filled(f"{block}.attn_q.weight", width, heads * _HEAD)
        yield filled(f"{block}.attn_k.weight", width, _HEAD)
        yield filled(f"{block}.attn_v.weight", width, _HEAD)
        yield constant(f"{block}.attn_output.weight", 0.0, heads * _HEAD, width)
        yield constant(f"{block}.ffn_norm.weight", 1.0, width)
        yield filled(f"{block}.ffn_gate.weight", width, hidden)
        yield filled(f"{block}.ffn_up.weight", width, hidden)
        yield constant(f"{block}.ffn_down.weight", 0.0, hidden, width)
    yield constant("output_norm.weight", 1.0, width)
    yield output


def _hadamard_row(number: int, width: int) -> "array[float]":
    """Sylvester's construction: entry (i, j) is -1 to the number of ones that i and j have in common."""
    return array("f", (-1.0 if (number & column).bit_count() % 2 else 1.0 for column in range(width)))


def _byte_alphabet() -> list[str]:
    """GPT-2's visible character for each byte: itself where it prints, else one from U+0100 on."""
    hidden = (chr(code) for code in range(256, 512))
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    return [chr(byte) if byte in printable else next(hidden) for byte in range(256)]


_BYTES = tuple(_byte_alphabet())


def _byte_level(text: str) -> str:
    return "".join(_BYTES[byte] for byte in text.encode())
