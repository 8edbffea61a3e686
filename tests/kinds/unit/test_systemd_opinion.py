"""What systemd itself says of our unit files: no complaint, and how exposed the service is."""

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from reconciler.core.units import GpuAccess, SupervisorKind
from tests.support.systemd import need_systemd
from tests.support.units import rendered

pytestmark = pytest.mark.usefixtures("systemd")
_NASTY = ("/bin/sleep", "a b", "100%", "$HOME", '"', "\\", ";", "é", "")


@pytest.fixture(scope="module")
def systemd() -> None:
    need_systemd()


def _analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.chmod(0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("kind", [SupervisorKind.SYSTEMD, SupervisorKind.SYSTEMD_USER])
def test_no_rendered_unit_gets_a_word_of_complaint(kind: SupervisorKind, tmp_path: Path) -> None:
    files: list[str] = []
    peers = ((), ("192.168.7.2:50052", "[fd00::7]:50052", "127.0.0.1:50053"), ("box.example:50052",))
    varied = itertools.product(
        GpuAccess, (True, False), ("root", None), (None, "/tmp/x.log"), (None, 2**30), peers
    )
    for number, (gpu, loopback, user, log_path, memory_limit, talks_to) in enumerate(varied):
        path = tmp_path / f"llama@m.{number}-max.service"
        text = rendered(
            kind,
            argv=_NASTY,
            gpu=gpu,
            loopback=loopback,
            user=user,
            log_path=log_path,
            memory_limit=memory_limit,
            working_directory="/tmp",
            write_paths=("/srv/a b", "/srv/100%"),
            peers=talks_to,
        )
        path.write_text(text, encoding="utf-8")
        files.append(str(path))
    scope = "--user" if kind is SupervisorKind.SYSTEMD_USER else "--system"
    done = _analyze(scope, "verify", *files, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_would_have_complained(tmp_path: Path) -> None:
    """It exits with 0 all the same: only its words tell."""
    path = tmp_path / "llama@m-max.service"
    text = rendered(SupervisorKind.SYSTEMD, argv=("/bin/sleep", "1"), working_directory="/tmp")
    path.write_text(text.replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"), encoding="utf-8")
    assert "NoNewPrivilege" in _analyze("verify", str(path), folder=tmp_path).stderr


@pytest.mark.parametrize(
    ("loopback", "gpu", "worst"),
    [
        (True, GpuAccess.NVIDIA, 1.5),
        (True, GpuAccess.AMD, 1.5),
        (True, GpuAccess.NONE, 1.1),
        (False, GpuAccess.NVIDIA, 0.6),
        (False, GpuAccess.AMD, 0.6),
        (False, GpuAccess.NONE, 0.5),
    ],
)
def test_a_system_unit_is_hardly_exposed(
    loopback: bool, gpu: GpuAccess, worst: float, tmp_path: Path
) -> None:
    path = tmp_path / "llama@m-max.service"
    path.write_text(rendered(SupervisorKind.SYSTEMD, loopback=loopback, gpu=gpu), encoding="utf-8")
    assert _exposure(path) <= worst


@pytest.mark.parametrize(("peer", "worst"), [("192.168.7.2:50052", 1.4), ("box.example:50052", 1.5)])
def test_a_unit_that_talks_to_another_machine_is_hardly_more_exposed(
    peer: str, worst: float, tmp_path: Path
) -> None:
    path = tmp_path / "llama@m-max.service"
    path.write_text(rendered(SupervisorKind.SYSTEMD, peers=(peer,)), encoding="utf-8")
    assert _exposure(path) <= worst


def _exposure(unit: Path) -> float:
    done = _analyze("security", "--offline=true", "--no-pager", str(unit), folder=unit.parent)
    level = re.search(r"Overall exposure level.*: ([0-9.]+)", done.stdout)
    assert level is not None, done.stderr
    return float(level[1])
