from pathlib import Path

import pytest

from reconciler.reconcile import session
from reconciler.reconcile.profile import active_profile
from reconciler.spec.load import load
from tests.support.nvml.standin import GIB, FakeGpus

SPEC = """\
profiles:
  max: {gpus: [RTX 5080]}
  ghost: {gpus: [RTX 3061]}
  mid: {gpus: [RTX 3060]}
  cpu_only: {gpus: []}
"""
GHOST = (
    "profile ghost cannot be active: no GPU here fits 'RTX 3061' (did you mean 'NVIDIA GeForce RTX 3060'?)"
)


def test_a_plan_says_why_no_better_profile_is_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCTL_STORE", str(tmp_path / "store"))
    gpus = FakeGpus(tmp_path / "gpus")
    gpus.install(monkeypatch)
    spec = load({"m.yaml": SPEC})
    site = session.open_any_folder(tmp_path)
    with site.state() as state:
        assert active_profile(spec, site, state).warnings == (GHOST,)
        gpus.change(0, utilisation=97, free=3 * GIB)
        found = active_profile(spec, site, state)
    assert found.name == "mid"
    assert found.warnings == (
        "profile max cannot be active: NVIDIA GeForce RTX 5080: 97 % busy with other work",
        GHOST,
    )
