import gguf
import pytest

from reconciler.gguf.types import REMOVED_TYPES, TENSOR_TYPES, tensor_type

Q8_1_IN_THE_PACKAGE = 40
"""The gguf package still counts two f32 sums; ggml's block_q8_1 has two f16 (36 bytes)."""


def test_every_type_of_the_gguf_package_has_the_same_block():
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        ours = TENSOR_TYPES[int(kind)]
        expected = 36 if size == Q8_1_IN_THE_PACKAGE else size
        assert (ours.name, ours.block, ours.block_bytes) == (kind.name.lower(), block, expected)


def test_a_removed_type_is_not_also_a_current_one():
    assert not REMOVED_TYPES.keys() & TENSOR_TYPES.keys()


def test_types_are_found_by_the_name_that_flags_use():
    assert tensor_type("q8_0").row_bytes(4096) == 4352
    assert tensor_type("F16").row_bytes(128) == 256
    with pytest.raises(KeyError):
        tensor_type("q9_9")


def test_a_row_that_is_no_whole_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="block of 256"):
        tensor_type("q4_k").row_bytes(300)
