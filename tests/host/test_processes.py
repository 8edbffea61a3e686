"""Telling a process from a later one with its number."""

import os
import subprocess
import sys

from reconciler.host.processes import birth
from tests.support.waiting import wait_until


def test_a_process_keeps_its_birth_and_two_differ() -> None:
    with subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE) as other:
        assert birth(os.getpid()) == birth(os.getpid())
        assert birth(other.pid) not in {None, birth(os.getpid())}
    assert birth(other.pid) is None


def test_one_that_ended_and_was_not_waited_for_is_gone() -> None:
    with subprocess.Popen((sys.executable, "-c", "")) as other:
        wait_until(lambda: birth(other.pid) is None, what="its end")
