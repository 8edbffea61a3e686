from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.placement.memory import Model, read_model_figures
from tests.placement import shapes
from tests.placement.oracle import rpc_servers


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for header-complete models."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def model(models: Path) -> Callable[[str], Model]:
    """The figures of a shape by its name."""
    known: dict[str, Model] = {}

    def read(name: str) -> Model:
        if name not in known:
            known[name] = read_model_figures(shapes.header(shapes.write(shapes.shape(name), models)))
        return known[name]

    return read


@pytest.fixture(scope="session")
def devices() -> Iterator[tuple[str, ...]]:
    """Addresses of three llama.cpp devices."""
    with rpc_servers(3) as addresses:
        yield addresses
