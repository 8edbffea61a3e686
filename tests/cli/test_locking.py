"""Who holds the machine is waited for a little, and named."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.cli import locking
from reconciler.cli.context import Context
from reconciler.cli.locking import editing, machine_lock
from reconciler.cli.output import Format, Output
from reconciler.core.errors import Refused
from reconciler.host.lock import apply_lock
from reconciler.host.spec_files import read_spec_folder
from reconciler.reconcile.site import Site, open_site
from reconciler.spec.load import load
from reconciler.spec.settings import Settings
from tests.support.workspace import Workspace

CONTEXT = Context("spec", Output(Format.TEXT, interactive=False))


@pytest.fixture
def site() -> Iterator[Site]:
    with TemporaryDirectory(prefix="mctl-") as folder:
        yield open_site(Settings(), Path(folder) / "spec", {"MODELCTL_STORE": folder})


def test_a_holder_that_ends_soon_is_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with apply_lock(Path(site.places.lock)):
            held.set()
            let_go.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    threading.Timer(0.2, let_go.set).start()
    with machine_lock(CONTEXT, site):
        holder.join(10)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("another modelctl is changing this machine: pid ") == 1


def test_one_that_goes_on_is_not_waited_for_forever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "_WAIT_SECONDS", 0.2)
    with (
        apply_lock(Path(site.places.lock)),
        pytest.raises(Refused, match="pid "),
        machine_lock(CONTEXT, site),
    ):
        pytest.fail("it was held by two")


def test_of_edits_at_the_same_moment_none_is_lost_and_each_has_its_commit() -> None:
    names = [f"m{number}" for number in range(8)]
    with TemporaryDirectory(prefix="mctl-") as folder:
        workspace = Workspace(Path(folder))
        for name in names:
            workspace.add(name)
        workspace.write()
        workspace.git("config", "user.name", "Ada")
        workspace.git("config", "user.email", "ada@localhost")
        with ThreadPoolExecutor(len(names)) as pool:
            done = list(pool.map(lambda name: workspace.run("pin", name, "--commit"), names))
        assert [one.stderr for one in done if one.returncode != 0] == []
        pins = load(read_spec_folder(workspace.spec)).pins
        assert pins == dict.fromkeys(names, "v1")
        commits = workspace.git("log", "--format=%s", f"-{len(names)}").splitlines()
        assert sorted(commits) == [f"Pin {name} to v1" for name in names]
        assert workspace.git("status", "--porcelain") == ""


def test_a_spec_folder_that_is_not_there_is_no_matter_of_the_lock(tmp_path: Path) -> None:
    with editing(tmp_path / "spec"):
        pass


def test_a_refusal_inside_the_block_is_not_taken_for_the_lock(site: Site) -> None:
    with pytest.raises(Refused, match="inside"), machine_lock(CONTEXT, site):
        raise Refused("inside")
