"""Which supervisor is taken when nobody said."""

import sys
from pathlib import Path

import pytest

from reconciler.core.errors import SupervisorError
from reconciler.core.units import SupervisorKind
from reconciler.host.supervisors.choose import detect, open_crash_loop_supervisor, open_supervisor


@pytest.mark.parametrize("kind", list(SupervisorKind))
def test_every_kind_has_an_adapter(kind: SupervisorKind, tmp_path: Path) -> None:
    assert open_supervisor(kind, state_directory=tmp_path).kind is kind
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [SupervisorKind.SYSTEMD, SupervisorKind.SUPERVISORD])
def test_only_some_need_the_guard_for_crash_loops(kind: SupervisorKind, tmp_path: Path) -> None:
    with pytest.raises(SupervisorError):
        open_crash_loop_supervisor(kind, tmp_path)


@pytest.mark.skipif(
    sys.platform == "darwin" or Path("/run/systemd/system").is_dir(),
    reason="a machine without a supervisor of its own",
)
def test_a_machine_without_systemd_gets_supervisord() -> None:
    assert detect() is SupervisorKind.SUPERVISORD
