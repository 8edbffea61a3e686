"""A workspace for tests that need real runtimes."""

from collections.abc import Iterator

import pytest

from tests.support.staging import staged
from tests.support.workspace import Workspace


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """On the embedded supervisord; gone at the end, with all that ran."""
    with staged("supervisord", None) as stage:
        yield stage.workspace
