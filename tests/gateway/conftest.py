import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.engine import Engine
from reconciler.host.engine import find_engine
from tests.gateway.backends import Mirror, backend
from tests.gateway.process import Gateway, gateway_process
from tests.support.engines import llama_server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a UNIX socket's name."""
    with tempfile.TemporaryDirectory(prefix="mgw-") as name:
        yield Path(name)


@pytest.fixture
def gateway(folder: Path) -> Iterator[Gateway]:
    with gateway_process(folder) as running:
        yield running


@pytest.fixture(scope="session")
def engine() -> Engine:
    return find_engine(str(llama_server()))


@pytest.fixture
def mirror(gateway: Gateway) -> Iterator[Mirror]:
    mirror = Mirror()
    with backend(gateway.folder / "mirror.sock", mirror) as running:
        gateway.route(running.endpoint)
        yield mirror
