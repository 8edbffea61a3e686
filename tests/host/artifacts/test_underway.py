"""A download seen from outside."""

from pathlib import Path

import pytest

from reconciler.core.types import Sha256
from reconciler.host.artifacts.partial import open_partial
from reconciler.host.artifacts.ranges import Ranges
from reconciler.host.artifacts.store import Store
from reconciler.host.artifacts.underway import UnderWay, under_way

KEY = Sha256("a" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.partials.mkdir()
    return store


def test_nobody_fetches_what_has_no_partial_file(store: Store) -> None:
    assert under_way(store, KEY) is None


def test_holes_are_not_counted_and_the_size_is_known_once_it_was_noted(store: Store) -> None:
    with open_partial(store.partials, KEY, lambda: None) as partial:
        partial.write_at(1024**2, b"x" * 65536)
        partial.sync()
        seen = under_way(store, KEY)
        assert seen is not None
        assert seen.total is None
        assert 65536 <= seen.done < 1024**2
        written = Ranges()
        written.add(1024**2, 1024**2 + 65536)
        partial.remember(2 * 1024**2, None, written)
        assert under_way(store, KEY) == UnderWay(seen.done, 2 * 1024**2)


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"size": null}', b"\xff"])
def test_a_torn_note_is_none(store: Store, note: bytes) -> None:
    (store.partials / f"{KEY}.part").write_bytes(b"GGUF")
    (store.partials / f"{KEY}.json").write_bytes(note)
    assert under_way(store, KEY) == UnderWay(4, None)
