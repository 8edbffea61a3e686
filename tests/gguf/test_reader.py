import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.errors import FormatError
from reconciler.gguf.header import GgufHeader
from reconciler.gguf.reader import Part, read_header, read_model
from tests.gguf.conftest import BytesFile, RawGguf


def read(data: bytes, *, known_size: bool = True) -> GgufHeader:
    return read_header(Part(BytesFile(data, known_size), "model.gguf"))


def refusal(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        read(data)
    assert caught.value.hint
    return caught.value.what


def write_real(path: Path, vocabulary: list[str]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_rope_freq_base(1e6)
    writer.add_bool("llama.attention.causal", True)
    writer.add_array("llama.attention.head_count_kv", [8, 4])
    writer.add_token_list(vocabulary)
    writer.add_token_scores([0.5] * len(vocabulary))
    writer.add_chat_template("{{ messages }} ü")
    writer.add_tensor("token_embd.weight", np.zeros((64, 32), dtype=np.float32))
    writer.add_tensor("blk.0.norm", np.zeros((7,), dtype=np.float16))
    quantised = np.zeros((4, 34), dtype=np.uint8)
    writer.add_tensor("blk.0.q", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_agrees_with_the_gguf_package_on_a_file_that_it_wrote(tmp_path):
    path = tmp_path / "real.gguf"
    vocabulary = [f"token-{number}" for number in range(5000)] + ["long" * 300]
    write_real(path, vocabulary)
    ours = read(path.read_bytes())
    theirs = gguf.GGUFReader(path)
    assert ours.architecture == "llama"
    assert ours.token_count == len(vocabulary)
    assert ours.data_offset == theirs.data_offset
    assert ours.metadata["llama.attention.head_count_kv"] == (8, 4)
    assert ours.metadata["llama.attention.causal"] is True
    assert ours.metadata["tokenizer.chat_template"] == "{{ messages }} ü"
    assert "tokenizer.ggml.tokens" not in ours.metadata
    assert [(tensor.name, tensor.dims, int(tensor.nbytes)) for tensor in ours.tensors] == [
        (tensor.name, tuple(int(size) for size in tensor.shape), int(tensor.n_bytes))
        for tensor in theirs.tensors
    ]
    assert [ours.data_offset + tensor.offset for tensor in ours.tensors] == [
        tensor.data_offset for tensor in theirs.tensors
    ]


@given(st.lists(st.sampled_from([0, 1, 6, 7, 30, 254, 255, 256, 257, 70_000]), min_size=1, max_size=12))
def test_what_follows_a_vocabulary_is_found_whatever_its_strings_are(lengths):
    lengths = lengths + [5] * 3000 + lengths
    payload = b"".join(RawGguf.string(b"x" * length) for length in lengths)
    raw = RawGguf().array("tokens", 8, len(lengths), payload)
    header = read(raw.number("after", 7).build())
    assert header.metadata == {"after": 7}
    assert header.array_counts == {"tokens": len(lengths)}


def test_version_two_is_read(raw):
    raw.version = 2
    assert read(raw.number("general.alignment", 64).build()).alignment == 64


def test_a_file_of_unknown_length_is_read(raw):
    data = raw.tensor("w", [64]).build()
    assert read(data, known_size=False).tensor_bytes == 256


def test_only_the_header_is_asked_for(raw):
    file = BytesFile(raw.tensor("w", [1024 * 1024]).build(4 * 1024 * 1024))
    read_header(Part(file, "model.gguf"))
    assert sum(size for _, size in file.reads) <= 512 * 1024


def test_a_large_vocabulary_takes_few_reads(raw):
    raw.array("tokenizer.ggml.tokens", 8, 300_000, RawGguf.string("x" * 12) * 300_000)
    file = BytesFile(raw.build())
    read_header(Part(file, "model.gguf"))
    assert len(file.reads) <= 3


def test_a_long_numeric_array_is_passed_over_without_reading_it(raw):
    raw.array("scores", 6, 2_000_000, b"\0" * 8_000_000)
    file = BytesFile(raw.number("after", 1).build())
    header = read_header(Part(file, "model.gguf"))
    assert header.metadata == {"after": 1}
    assert sum(size for _, size in file.reads) < 3_000_000


HUGE = 2**63
HOSTILE = {
    "no magic": (b"GGML" + b"\0" * 40, "begins with"),
    "empty": (b"", "ends where"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big endian"),
    "version one": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version is 1"),
    "endless keys": (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), "metadata keys"),
    "endless tensors": (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0), f"claims {HUGE} tensors"),
    "endless key name": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", HUGE),
        "a metadata key of",
    ),
    "endless text": (RawGguf().key("k", 8, struct.pack("<Q", HUGE)).build(), "the value of k of"),
    "endless numbers": (RawGguf().array("k", 4, HUGE, b"").build(), "are promised"),
    "endless strings": (RawGguf().array("k", 8, HUGE, b"").build(), "cannot fit"),
    "a string past the end": (
        RawGguf().array("k", 8, 100, struct.pack("<Q", 2**40) + b"\0" * 900).build(),
        "are promised",
    ),
    "nested arrays": (RawGguf().array("k", 9, 1, b"\0" * 20).build(), "cannot be in an array"),
    "unknown value type": (RawGguf().key("k", 77, b"").build(), "unknown type 77"),
    "key twice": (RawGguf().number("k", 1).number("k", 2).build(), "appears twice"),
    "empty key": (RawGguf().number("", 1).build(), "key is empty"),
    "key not text": (RawGguf().key(b"\xff\xfe", 4, b"\0" * 4).build(), "not UTF-8"),
    "value not text": (RawGguf().text("k", b"\xff").build(), "not UTF-8"),
    "alignment zero": (RawGguf().number("general.alignment", 0).build(), "alignment"),
    "alignment odd": (RawGguf().number("general.alignment", 48).build(), "alignment"),
    "alignment of text": (RawGguf().text("general.alignment", "32").build(), "alignment"),
    "tensor twice": (RawGguf().tensor("w", [32]).tensor("w", [32]).build(999), "appears twice"),
    "long tensor name": (RawGguf().tensor("w" * 64, [32]).build(999), "a tensor name"),
    "no dimensions": (RawGguf().tensor("w", []).build(999), "0 dimensions"),
    "five dimensions": (RawGguf().tensor("w", [1] * 5).build(999), "5 dimensions"),
    "unknown tensor type": (RawGguf().tensor("w", [32], kind=999).build(999), "unknown type 999"),
    "removed tensor type": (RawGguf().tensor("w", [32], kind=31).build(999), "q4_0_4_4"),
    "half a block": (RawGguf().tensor("w", [48], kind=2).build(999), "no multiple of q4_0's 32"),
    "overflow": (RawGguf().tensor("w", [2**33, 2**33]).build(999), "impossible"),
    "overflow behind a zero": (RawGguf().tensor("w", [2**63, 0]).build(999), "impossible"),
    "unaligned": (RawGguf().tensor("w", [32], offset=8).build(999), "not aligned"),
    "cut short": (RawGguf().tensor("w", [320]).build(99), "cut short"),
    "offset past the end": (RawGguf().tensor("w", [32], offset=2**62).build(999), "cut short"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_at_once(case):
    data, why = HOSTILE[case]
    started = time.perf_counter()
    assert why in refusal(data)
    assert time.perf_counter() - started < 0.5


def test_no_prefix_of_a_file_is_accepted_or_crashes(raw):
    raw.text("general.architecture", "llama").array("a", 4, 3, b"\0" * 12).tensor("w", [32, 2])
    data = raw.build(256)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            read(data[:length])
    assert read(data).architecture == "llama"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_after_the_magic_never_crash(noise):
    try:
        read(b"GGUF\x03\0\0\0" + noise)
    except FormatError:
        return


def part(number: int, count: int, tensors: list[str], *, total: int) -> Part:
    raw = RawGguf().number("split.no", number).number("split.count", count)
    raw.number("split.tensors.count", total)
    for index, name in enumerate(tensors):
        raw.tensor(name, [32], offset=128 * index)
    data = raw.build(128 * len(tensors))
    return Part(BytesFile(data), f"m-{number + 1:05}-of-{count:05}.gguf")


def test_a_split_model_is_one_model():
    header = read_model(
        [part(0, 3, ["a"], total=4), part(1, 3, ["b", "c"], total=4), part(2, 3, ["d"], total=4)]
    )
    assert [(tensor.name, tensor.part) for tensor in header.tensors] == [
        ("a", 0),
        ("b", 1),
        ("c", 1),
        ("d", 2),
    ]
    assert header.tensor_bytes == 512


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([part(0, 2, ["a"], total=1)], "is one of 2 files, but 1"),
        ([part(0, 2, ["a"], total=2), part(0, 2, ["b"], total=2)], "is not file 2 of 2"),
        ([part(0, 2, ["a"], total=2), part(1, 2, ["a"], total=2)], "a tensor twice"),
        ([part(0, 2, ["a"], total=5), part(1, 2, ["b"], total=5)], "promises 5 tensors"),
    ],
    ids=["missing", "out of order", "overlapping", "of another model"],
)
def test_a_set_that_is_no_model_is_refused(parts, why):
    with pytest.raises(FormatError) as caught:
        read_model(parts)
    assert why in caught.value.what
