import io
from array import array
from pathlib import Path

import gguf
import pytest

from reconciler.gguf.write import ALIGNMENT, FloatTensor, write_gguf

METADATA = {
    "general.architecture": "llama",
    "a.bool": True,
    "a.count": 4_000_000_000,
    "a.fraction": 0.5,
    "a.words": ["one", "", "é"],
    "a.numbers": [1, -2, 3],
    "a.fractions": [0.25, 1.5],
    "a.nothing": list[str](),
}


def written(path: Path) -> gguf.GGUFReader:
    tensors = [
        FloatTensor("first", (3, 2), array("f", range(6))),
        FloatTensor("second", (1,), array("f", [7.0])),
    ]
    path.write_bytes(b"".join(write_gguf(METADATA, tensors)))
    return gguf.GGUFReader(path)


def test_the_reference_reader_finds_what_was_written(tmp_path: Path) -> None:
    reader = written(tmp_path / "small.gguf")
    found = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert found == METADATA
    assert [(tensor.name, tensor.shape.tolist()) for tensor in reader.tensors] == [
        ("first", [3, 2]),
        ("second", [1]),
    ]
    assert reader.tensors[0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert reader.tensors[1].data.tolist() == [7]


def test_every_piece_ends_at_a_multiple_of_the_alignment() -> None:
    pieces = list(write_gguf(METADATA, [FloatTensor("x", (5,), array("f", range(5)))]))
    assert [len(piece) % ALIGNMENT for piece in pieces] == [0, 0]
    assert io.BytesIO(b"".join(pieces)).read(4) == b"GGUF"


@pytest.mark.parametrize("value", [-1, 2**32, [2**31], [-(2**31) - 1]])
def test_a_number_that_fits_no_type_is_refused(value: int | list[int]) -> None:
    with pytest.raises(ValueError, match=r"a\.key: .* is out of range"):
        list(write_gguf({"a.key": value}, []))


@pytest.mark.parametrize("data", [array("f", [1.0]), array("d", [1.0, 2.0])])
def test_data_that_does_not_fill_its_shape_is_refused(data: "array[float]") -> None:
    with pytest.raises(ValueError, match="do not fill"):
        FloatTensor("x", (2,), data)
