"""Files of `overrides-cache` that are not as they were written."""

import pytest

from reconciler.kinds.placement.document import parse


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"hash": 1}', "<<<<<<< HEAD\n{}\n", '{"format_version": 1', "[" * 100_000],
)
def test_what_is_no_placement_is_none(text: str) -> None:
    assert parse(text) is None
