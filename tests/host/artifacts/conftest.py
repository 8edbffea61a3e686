"""A hub for each test."""

from collections.abc import Iterator

import pytest

from tests.support.hub import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub
