"""Shell completion: a script that the shell takes, and words that complete."""

import os
import subprocess
import sys

import pytest

from tests.support.workspace import MODELCTL


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    done = subprocess.run((*MODELCTL, "completion", shell), capture_output=True, text=True, check=True)
    assert "_MODELCTL_COMPLETE" in done.stdout
    if shell == "bash":
        subprocess.run(("bash", "-n"), input=done.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("modelctl sta", "status"), ("modelctl plan --pru", "--prune"), ("modelctl gpu lo", "lock")],
)
def test_words_complete(words: str, expected: str) -> None:
    asking = {"_MODELCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    # The script's name is what the shell completes for; `-c` would be a name of its own.
    program = "import sys; sys.argv = ['modelctl']; from reconciler.cli import main; main()"
    done = subprocess.run(
        (sys.executable, "-c", program),
        env={**os.environ, **asking},
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in done.stdout.replace("\n", ",").split(",")
