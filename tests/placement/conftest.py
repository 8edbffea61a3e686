from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.placement.oracle import rpc_servers


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for header-complete models."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def devices() -> Iterator[tuple[str, ...]]:
    """Addresses of three llama.cpp devices."""
    with rpc_servers(3) as addresses:
        yield addresses
