import pytest

from reconciler.core.errors import SourceError
from reconciler.gguf.reader import Part, read_header
from reconciler.host.gguf_file import open_local
from tests.gguf.conftest import RawGguf


@pytest.fixture
def model() -> bytes:
    tokens = RawGguf.string("some token") * 100_000
    raw = RawGguf().array("tokenizer.ggml.tokens", 8, 100_000, tokens)
    return raw.tensor("w", [16 * 1024 * 1024]).build(64 * 1024 * 1024)


def test_a_local_header_is_read_and_its_length_checked(tmp_path, model):
    path = tmp_path / "model.gguf"
    path.write_bytes(model)
    with open_local(path) as file:
        assert read_header(Part(file, path.name)).token_count == 100_000


def test_a_missing_file_is_a_source_error(tmp_path):
    with pytest.raises(SourceError, match="No such file"), open_local(tmp_path / "none.gguf"):
        pass
