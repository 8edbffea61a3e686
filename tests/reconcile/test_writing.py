"""Edits reach the spec's files as they are by then, or not at all."""

from pathlib import Path

import pytest

from reconciler.core.errors import SpecError
from reconciler.core.types import ModelId, VersionId
from reconciler.reconcile.writing import write_edits
from reconciler.spec.edit import SetCurrentVersion

SPEC = """\
models:
  - id: a
    current_version: v1   # chosen in May
    versions:
      - {version_id: v1, gguf_url: "file:///a.gguf"}
      - {version_id: v2, gguf_url: "file:///b.gguf"}
    profiles: {cpu_only: {}}
"""
TO_V2 = SetCurrentVersion(ModelId("a"), VersionId("v2"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(SPEC)
    return path


def test_what_somebody_saved_in_the_meantime_is_kept(path: Path) -> None:
    path.write_text(SPEC.replace("May", "June"))
    path.chmod(0o640)
    assert write_edits(path.parent, [TO_V2]) == (path,)
    assert path.read_text() == SPEC.replace("May", "June").replace(
        "current_version: v1", "current_version: v2"
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in path.parent.iterdir()] == ["a.yaml"]


def test_a_half_saved_file_is_left_alone(path: Path) -> None:
    half = SPEC[: len(SPEC) // 2]
    path.write_text(half)
    with pytest.raises(SpecError):
        write_edits(path.parent, [TO_V2])
    assert path.read_text() == half


def test_without_edits_nothing_is_read(tmp_path: Path) -> None:
    assert write_edits(tmp_path / "nowhere", []) == ()
