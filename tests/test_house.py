"""The house rules, held by tools: style, types, layers."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("ruff", "check", "--quiet", "."), id="style"),
        pytest.param(("ruff", "format", "--check", "--quiet", "."), id="format"),
        pytest.param(("mypy", "--no-error-summary"), id="types"),
        pytest.param(("lint-imports", "--no-cache"), id="layers"),
    ],
)
def test_a_tool_has_no_complaint(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        (BIN / command[0], *command[1:]), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_most_files_can_be_read_in_one_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "reconciler").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert not long
