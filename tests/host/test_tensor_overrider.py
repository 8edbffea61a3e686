"""The external tool, played by a script."""

from pathlib import Path

import pytest

from reconciler.core.errors import EngineError
from reconciler.host.tensor_overrider import PROGRAM, ask_tensor_overrider


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    script = folder / PROGRAM
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_it_is_given_shares_as_fractions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, 'echo "$@"')
    said = ask_tensor_overrider("https://hub/m.gguf", 8192, (80, 15, 5))
    assert said.split() == [
        *("-g", "https://hub/m.gguf", "-c", "8192", "--no-check"),
        *("--granular-gpu-percentage", "0.8,0.15,0.05"),
    ]


def test_its_complaint_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, 'echo "unsupported architecture" >&2; exit 1')
    with pytest.raises(EngineError, match="unsupported architecture"):
        ask_tensor_overrider("https://hub/m.gguf", 8192, None)


def test_without_it_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="not installed") as caught:
        ask_tensor_overrider("https://hub/m.gguf", 8192, None)
    assert "strategy: auto" in str(caught.value.hint)
