"""Files that are followed as they are saved: no prefix of a spec stops or removes anything."""

from collections.abc import Iterator

import pytest

from reconciler.core.errors import SpecError
from reconciler.core.operations import Verb
from reconciler.core.plan import Plan, Revision
from reconciler.host.state import State
from reconciler.reconcile import session
from reconciler.reconcile.plan import Request
from reconciler.reconcile.site import Site
from tests.support.workspace import Workspace

pytestmark = pytest.mark.slow

TAKES_AWAY = {Verb.STOP, Verb.REMOVE}


@pytest.fixture
def served(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Workspace, Site, State]]:
    """Two models that are served, and the parts of modelctl that plan for them, in this process."""
    for key in ("MODELCTL_STORE", "HOME"):
        monkeypatch.setenv(key, workspace.env()[key])
    workspace.add("a")
    workspace.add("b", extra="    residency: on_demand\n")
    workspace.up()
    site = session.open_source(session.read_source(workspace.spec))
    with site.state() as state:
        yield workspace, site, state


def planned(text: str, workspace: Workspace, site: Site, state: State) -> Plan | None:
    """What a watcher would do; None for a text that does not load."""
    try:
        source = session.from_texts(
            workspace.spec, {str(workspace.spec / "models.yaml"): text}, Revision("c", dirty=True)
        )
    except SpecError:
        return None
    return session.plan(source, site, state, Request())


def test_no_prefix_of_a_spec_stops_anything(served: tuple[Workspace, Site, State]) -> None:
    workspace, site, state = served
    whole = (workspace.spec / "models.yaml").read_text()
    loaded = 0
    for length in range(len(whole)):
        plan = planned(whole[:length], workspace, site, state)
        if plan is not None:
            loaded += 1
            taken = [operation.id for operation in plan.operations if operation.verb in TAKES_AWAY]
            assert not taken, f"after {length} characters: {taken}"
    assert loaded > 1  # an empty file is a spec as well


def test_the_whole_spec_plans_nothing(served: tuple[Workspace, Site, State]) -> None:
    workspace, site, state = served
    plan = planned((workspace.spec / "models.yaml").read_text(), workspace, site, state)
    assert plan is not None
    assert not plan.has_changes
