"""What a killed adoption leaves behind is seen and removed, and one that goes on is not."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.host.artifacts.partial import open_partial
from reconciler.host.artifacts.ranges import Ranges
from reconciler.host.artifacts.store import Store
from reconciler.host.artifacts.sweep import remove_partial, survey

DAY = 86400.0
KEY = "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """In the middle of taking over a file that Ollama wrote long ago."""
    store = Store(tmp_path / "store")
    store.partials.mkdir(parents=True)
    theirs = tmp_path / "blob"
    theirs.write_bytes(b"GGUF")
    os.utime(theirs, (1, 1))
    (store.partials / f"{KEY}.link").hardlink_to(theirs)
    return store


@contextmanager
def held(store: Store) -> Iterator[None]:
    with open_partial(store.partials, KEY, lambda: None):
        yield


def test_the_age_of_a_link_is_not_that_of_its_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    [link] = survey(store).partials
    assert link.path == f"partial/{KEY}.link"
    assert link.age_seconds < DAY
    assert link.links == 2, "removing it frees nothing"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * DAY)
    [link] = survey(store).partials
    assert link.age_seconds > DAY


def test_a_link_left_behind_goes_with_its_empty_partial_file(store: Store, tmp_path: Path) -> None:
    (store.partials / f"{KEY}.part").touch()
    remove_partial(store, f"partial/{KEY}.link")
    assert list(store.partials.iterdir()) == []
    assert (tmp_path / "blob").read_bytes() == b"GGUF"


def test_a_link_that_is_being_hashed_stays(store: Store) -> None:
    with held(store):
        remove_partial(store, f"partial/{KEY}.link")
        assert (store.partials / f"{KEY}.link").exists()


def test_a_download_of_the_same_bytes_is_kept_when_a_link_goes(store: Store) -> None:
    with open_partial(store.partials, KEY, lambda: None) as partial:
        partial.write_at(0, b"GG")
        written = Ranges()
        written.add(0, 2)
        partial.remember(4, None, written)
    remove_partial(store, f"partial/{KEY}.link")
    assert {path.name for path in store.partials.iterdir()} == {f"{KEY}.part", f"{KEY}.json"}
