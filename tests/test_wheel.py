"""What people install: the wheel, outside any checkout."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT), cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of scripts of a fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", str(folder), cwd=folder)
    _run(str(folder / "bin" / "pip"), "install", "--quiet", str(wheel), cwd=folder)
    return folder / "bin"


def test_the_wheel_carries_the_unit_templates_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for template in (ROOT / "units").iterdir():
        assert f"reconciler/unit_templates/{template.name}" in names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_the_main_job_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = _run(str(installed / "modelctl"), "demo", "--once", cwd=tmp_path)
    assert "I am tiny-ada" in done.stdout
    assert "nothing to do" in done.stdout


def _run(*argv: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done
