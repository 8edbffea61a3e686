"""The active profile as the watcher keeps it, and its file for other programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.core.types import ProfileName
from reconciler.host.profile_file import profile_path
from reconciler.host.state import State
from reconciler.reconcile import session
from reconciler.reconcile.site import Site
from reconciler.spec.load import load
from reconciler.watch.gpus import ProfileKeeper
from tests.support.nvml.standin import GIB, FakeGpus

SPEC = """\
profiles:
  max: {gpus: [RTX 5080]}
  cpu_only: {gpus: []}
"""


@dataclass
class Keeping:
    """A keeper."""

    gpus: FakeGpus
    site: Site
    state: State
    keeper: ProfileKeeper

    @property
    def told(self) -> Path:
        return profile_path(Path(self.site.places.state))

    def look(self, spec: str = SPEC) -> ProfileName | None:
        return self.keeper.look(load({"m.yaml": spec}), self.site, self.state)


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeping]:
    monkeypatch.setenv("MODELCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MODELCTL_GPU_LOCKOUT", str(tmp_path / "gpu_lockout"))
    gpus = FakeGpus(tmp_path / "gpus")
    gpus.install(monkeypatch)
    site = session.open_any_folder(tmp_path)
    with site.state(create=True) as state:
        yield Keeping(gpus, site, state, ProfileKeeper())


def test_the_profile_is_told_to_other_programs(keeping: Keeping) -> None:
    assert keeping.look() == "max"
    assert keeping.told.read_text() == "max\n"
    keeping.gpus.change(0, free=GIB)
    assert [keeping.look() for _ in range(3)] == ["max", "max", "cpu_only"]
    assert keeping.told.read_text() == "cpu_only\n"


def test_a_file_that_cannot_be_written_is_reported_and_the_profile_goes_on(keeping: Keeping) -> None:
    keeping.told.mkdir(parents=True)
    for _ in range(2):
        assert keeping.look() == "max"
        (condition,) = keeping.keeper.conditions
        assert condition.reason == "ProfileUntold"
    keeping.told.rmdir()
    assert keeping.look() == "max"
    assert keeping.keeper.conditions == ()
    assert keeping.told.read_text() == "max\n"


def test_a_spec_without_gpus_leaves_no_old_profile_behind(keeping: Keeping) -> None:
    keeping.look()
    assert keeping.look("profiles: {cpu_only: {gpus: []}}\n") is None
    assert not keeping.told.exists()
