"""Files of `overrides-cache`, where something else is in their place."""

from pathlib import Path

import pytest

from reconciler.core.errors import StoreError
from reconciler.host.overrides_cache import read_placement, write_placement


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "overrides-cache" / "a-max.json"
    assert read_placement(path) is None
    write_placement(path, "{}\n")
    assert read_placement(path) == "{}\n"


@pytest.mark.parametrize("taken", ["overrides-cache/a-max.json/", "overrides-cache"])
def test_what_is_in_the_way_is_named(tmp_path: Path, taken: str) -> None:
    """A folder in the place of the file, a file in the place of the folder."""
    path = tmp_path / "overrides-cache" / "a-max.json"
    if taken.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.parent.write_text("a file")
    assert read_placement(path) == ""
    with pytest.raises(StoreError) as caught:
        write_placement(path, "{}\n")
    assert caught.value.hint == f"remove {tmp_path / taken.rstrip('/')}, which is in the way"
