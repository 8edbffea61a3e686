"""While a model is downloaded, for hours perhaps, the watcher still hears of all else."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress

import pytest

from reconciler.demo.tiny_model import tiny_model
from tests.e2e.test_profiles import move_in, play, until_active
from tests.support import hostile
from tests.support.hub import Hub
from tests.support.traffic import traffic
from tests.support.waiting import wait_until
from tests.support.watching import watching
from tests.support.workspace import Workspace, chat

pytestmark = pytest.mark.slow

FAR = tiny_model("I come from far away.") + bytes(12_000_000)
VERY_FAR = FAR + bytes(48_000_000)
SLOWLY = 400_000
"""Bytes per second: a header is read in two seconds, the files take half a minute and more than one."""
SOME = 2_000_000
"""Bytes, more than a header."""


@pytest.fixture
def hub(workspace: Workspace) -> Iterator[Hub]:
    with Hub() as hub:
        workspace.environment |= {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ""}
        yield hub


def add_far_away(workspace: Workspace, hub: Hub, profile: str, content: bytes) -> None:
    """A model that has to be downloaded, committed."""
    revision = hub.add("org/repo", "far.gguf", content)
    path = workspace.spec / "models.yaml"
    path.write_text(
        f"{path.read_text()}  - id: far\n    context_tokens: 512\n    current_version: v1\n    versions:\n"
        f"      - {{version_id: v1, gguf_url: hf://org/repo/far.gguf, revision: {revision},"
        f" sha256: {hashlib.sha256(content).hexdigest()}}}\n"
        f"    profiles: {{{profile}: {{flags: {{threads: 1}}}}}}\n"
    )
    workspace.commit("far away")


def says(port: int) -> str | None:
    """None while it starts again."""
    with suppress(OSError):
        return chat(port)
    return None


def test_a_commit_is_followed_and_the_download_goes_on_where_it_was(workspace: Workspace, hub: Hub) -> None:
    model = workspace.add("a")
    model.files["v2"] = workspace.gguf("a-v2", "I am a, version 2.")
    workspace.up()
    hub.intercept = hostile.slow(SLOWLY)
    with watching(workspace) as watch:
        watch.wait_for("watch_began")
        add_far_away(workspace, hub, "cpu_only", FAR)
        wait_until(lambda: hub.sent > SOME, 30, "some of the download")
        workspace.edit("a", "current_version: v1", "current_version: v2")
        wait_until(lambda: says(model.port) == "I am a, version 2.", 30, "the new version")
        assert "far" not in workspace.runtimes()
        hub.intercept = None
        wait_until(lambda: workspace.json("status")["in_sync"], 90, "the other model")
        assert workspace.runtimes()["far"]["ready"]
        asked = [str(request.range) for request in hub.requests]
        last = [one for one in asked if one.endswith(f"-{len(FAR) - 1}")][-1]
        assert not last.startswith("bytes=0-"), "it began again"


def test_it_ends_when_it_is_told_to(workspace: Workspace, hub: Hub) -> None:
    workspace.add("a")
    workspace.up()
    hub.intercept = hostile.slow(SLOWLY)
    with watching(workspace) as watch:
        watch.wait_for("watch_began")
        add_far_away(workspace, hub, "cpu_only", FAR)
        wait_until(lambda: hub.sent > SOME, 30, "some of the download")
        assert watch.end() == 0
    assert len(FAR) - hub.sent > len(FAR) // 2
    assert "Traceback" not in (workspace.root / "watch.log").read_text()


def test_a_profile_falls_and_no_request_is_lost(workspace: Workspace, hub: Hub) -> None:
    gpus, front, _ = move_in(workspace)
    hub.intercept = hostile.slow(SLOWLY)
    with watching(workspace) as watch, traffic(front) as seen:
        watch.wait_for("watch_began")
        add_far_away(workspace, hub, "max", VERY_FAR)
        wait_until(lambda: hub.sent > SOME, 30, "some of the download")
        play(gpus)
        until_active(watch, "mid")
        told = seen.count
        wait_until(lambda: seen.count > told + 20, 20, "answers under mid")
    assert hub.sent < len(VERY_FAR), "the download cannot have been waited for"
    assert seen.failures == []
