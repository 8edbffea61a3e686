"""Lockout files and the profile file, on disk."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.gpu import LockoutText
from reconciler.core.types import ProfileName
from reconciler.host.local_time import local_now
from reconciler.host.lockout import edit_lockouts, own_path, read_lockouts
from reconciler.host.profile_file import profile_path, read_profile, write_profile

ENTRY = {"lockout_gpus": ["GPU-1"], "reason": "Gaming session", "until": None}


def test_what_is_written_is_read_with_the_time_of_writing(tmp_path: Path) -> None:
    path = own_path(tmp_path / "state")
    edit_lockouts(path, lambda _: [ENTRY])
    (found,) = read_lockouts([path])
    assert json.loads(found.text or "") == [ENTRY]
    assert found.written is not None
    assert abs(local_now() - found.written) < timedelta(minutes=1)
    assert found.problem is None


def test_the_last_lockout_takes_the_file_with_it(tmp_path: Path) -> None:
    path = own_path(tmp_path)
    edit_lockouts(path, lambda _: [ENTRY])
    edit_lockouts(path, lambda _: [])
    assert read_lockouts([path]) == (LockoutText(str(path)),)
    edit_lockouts(path, lambda _: [])


def test_edits_do_not_lose_each_other(tmp_path: Path) -> None:
    path = own_path(tmp_path)

    def add(text: LockoutText) -> list[dict[str, Any]]:
        return [*json.loads(text.text or "[]"), ENTRY]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: edit_lockouts(path, add), range(40)))
    assert len(json.loads(path.read_text())) == 40


@pytest.mark.parametrize(
    ("content", "problem"), [(b"\xff\xfe", "not UTF-8 text"), (b"[" * 70_000, "larger than 64 KiB")]
)
def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "gpu_lockout"
    path.write_bytes(content)
    assert read_lockouts([path]) == (LockoutText(str(path), problem=problem),)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_holds_nobody_up(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "gpu_lockout"
    make(path)
    assert read_lockouts([path]) == (LockoutText(str(path), problem="not a regular file"),)


def test_one_unreadable_file_does_not_hide_the_others(tmp_path: Path) -> None:
    good = own_path(tmp_path)
    edit_lockouts(good, lambda _: [ENTRY])
    bad, found = read_lockouts([tmp_path, good])
    assert bad.problem == "not a regular file"
    assert found.text


def test_the_active_profile_is_one_line_for_other_programs(tmp_path: Path) -> None:
    path = profile_path(tmp_path / "state")
    assert read_profile(path) == (None, float("inf"))
    write_profile(path, ProfileName("max"))
    assert path.read_text() == "max\n"
    profile, age = read_profile(path)
    assert profile == "max"
    assert 0 <= age < 60
    write_profile(path, None)
    assert path.read_text() == "\n"
    assert read_profile(path)[0] is None


def test_a_profile_that_stays_is_not_written_again_but_its_time_moves(tmp_path: Path) -> None:
    path = profile_path(tmp_path)
    write_profile(path, ProfileName("mid"))
    os.utime(path, (1, 1))
    before = path.stat()
    write_profile(path, ProfileName("mid"))
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime > before.st_mtime


def test_a_profile_file_with_something_else_in_it_is_no_profile(tmp_path: Path) -> None:
    path = profile_path(tmp_path)
    for content in (b"two words\n", b"\xff", b"../x"):
        path.write_bytes(content)
        assert read_profile(path) == (None, float("inf"))
    write_profile(path, ProfileName("max"))
    assert read_profile(path)[0] == "max"
