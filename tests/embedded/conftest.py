import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.engine import Engine
from reconciler.demo.tiny_model import tiny_model
from reconciler.host.engine import find_engine
from tests.support.engines import llama_server

ANSWER = "I am tiny-a, version 2. Tiny I am, and I answer nothing else."


@pytest.fixture(scope="session", params=["embedded", "llama-server"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Both engines: what holds for llama-server must hold for the embedded one."""
    return find_engine("embedded" if request.param == "embedded" else str(llama_server()))


@pytest.fixture(scope="session")
def embedded() -> Engine:
    return find_engine("embedded")


@pytest.fixture(scope="session")
def answer() -> str:
    return ANSWER


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model(ANSWER))
    return path


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a UNIX socket's name; pytest's own does not on macOS."""
    with tempfile.TemporaryDirectory(prefix="mctl-") as folder:
        yield Path(folder)
