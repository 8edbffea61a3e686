"""What was hashed is trusted until it is touched."""

import os
from pathlib import Path

import pytest

from reconciler.core.types import Sha256
from reconciler.host.artifacts.trust import Identity, Trust

HASH, OTHER = Sha256("a" * 64), Sha256("b" * 64)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path / "verified")


def test_a_file_is_trusted_once_recorded_and_the_last_word_counts(file: Path, trust: Trust) -> None:
    assert trust.load().hash_of(file.lstat()) is None
    for said in (HASH, OTHER, None, HASH):
        trust.record(Identity.of(file.lstat()), said)
        assert trust.load().hash_of(file.lstat()) == said


def test_writing_to_a_file_ends_the_trust(file: Path, trust: Trust) -> None:
    trust.record(Identity.of(file.lstat()), HASH)
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert trust.load().hash_of(file.lstat()) is None


def test_another_file_in_its_place_is_not_trusted(file: Path, trust: Trust) -> None:
    trust.record(Identity.of(file.lstat()), HASH)
    before = file.lstat()
    other = file.with_name("other")
    other.write_bytes(b"content")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert trust.load().hash_of(file.lstat()) is None


def test_a_hard_link_is_the_same_file(file: Path, trust: Trust) -> None:
    trust.record(Identity.of(file.lstat()), HASH)
    os.link(file, file.with_name("link"))
    assert trust.load().hash_of(file.with_name("link").lstat()) == HASH


@pytest.mark.parametrize(
    "garbage", [b"\xff\x00", b"1 2 3\n", b"x y z w " + b"a" * 64 + b"\n", b"\x00" * 4096]
)
def test_foreign_and_torn_lines_cost_nothing_else(file: Path, trust: Trust, garbage: bytes) -> None:
    path = file.with_name("verified")
    trust.record(Identity.of(file.lstat()), HASH)
    whole = path.read_bytes()
    for torn in range(len(whole)):
        path.write_bytes(whole[:torn] + garbage)
        assert trust.load().hash_of(file.lstat()) in {None, HASH}
        trust.record(Identity.of(file.lstat()), OTHER)
        assert trust.load().hash_of(file.lstat()) == OTHER


def test_no_symbolic_link_is_written_through(file: Path, trust: Trust) -> None:
    (file.with_name("verified")).symlink_to(file)
    with pytest.raises(OSError, match="symbolic"):
        trust.record(Identity.of(file.lstat()), HASH)
    assert file.read_bytes() == b"content"
