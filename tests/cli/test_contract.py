"""The CLI contract: streams, formats, exit codes, and errors that mend themselves."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.staging import staged
from tests.support.workspace import MODELCTL, Workspace, chat


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with staged("supervisord") as stage:
        made = stage.workspace
        made.add("a")
        made.write()
        yield made


def test_a_mistyped_command_is_bad_usage_with_the_nearest_one(workspace: Workspace) -> None:
    done = workspace.run("aply")
    assert done.returncode == 2
    assert "did you mean 'apply'" in done.stderr
    assert done.stdout == ""


def test_a_broken_spec_fails_with_its_place_and_prints_no_data(workspace: Workspace) -> None:
    workspace.edit("a", "context_tokens: 512", "context_token: 512", commit=False)
    done = workspace.run("plan")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "spec/models.yaml:10:5: " in done.stderr
    assert "did you mean `context_tokens`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_merge_that_is_not_finished_is_called_by_its_name(workspace: Workspace) -> None:
    workspace.git("checkout", "--quiet", "-b", "side")
    workspace.edit("a", "context_tokens: 512", "context_tokens: 600")
    workspace.git("checkout", "--quiet", "main")
    workspace.edit("a", "context_tokens: 512", "context_tokens: 700")
    with suppress(subprocess.CalledProcessError):
        workspace.git("rebase", "side")
    done = workspace.run("plan")
    assert done.returncode == 1
    assert "spec/models.yaml:10: Git could not join two changes" in done.stderr
    assert "git status" in done.stderr


def test_errors_are_json_for_those_who_asked_for_json(workspace: Workspace) -> None:
    workspace.edit("a", "context_tokens: 512", "context_tokens: many", commit=False)
    done = workspace.run("plan", "--format", "json")
    assert done.returncode == 1
    document = json.loads(done.stderr)
    assert document["format_version"] == 1
    assert document["errors"][0]["where"].endswith("models.yaml:10:21")


def test_diff_keeps_one_for_a_difference(workspace: Workspace) -> None:
    assert workspace.run("diff").returncode == 1
    workspace.edit("a", "context_tokens: 512", "context_tokens: many", commit=False)
    assert workspace.run("diff").returncode == 2


def test_only_debug_shows_a_traceback(workspace: Workspace) -> None:
    workspace.edit("a", "context_tokens: 512", "context_tokens: many", commit=False)
    assert "Traceback" in workspace.run("plan", "--debug").stderr


def test_pending_changes_have_an_exit_code_of_their_own(workspace: Workspace) -> None:
    assert workspace.run("plan").returncode == 0
    assert workspace.run("plan", "--detailed-exitcode").returncode == 2


def test_a_plan_makes_nothing(workspace: Workspace) -> None:
    workspace.ok("plan")
    workspace.ok("apply", "--dry-run")
    assert not (workspace.store / "state" / "modelctl.db").exists()
    assert not (workspace.store / "blobs").exists()


def test_json_documents_say_their_version(workspace: Workspace) -> None:
    for command in ("plan", "list", "status", "doctor"):
        assert workspace.json(command)["format_version"] == 1


def test_nothing_is_applied_where_nobody_can_be_asked(workspace: Workspace) -> None:
    done = workspace.run("apply")
    assert done.returncode == 3
    assert "--yes" in done.stderr
    assert not (workspace.store / "blobs").exists()


def test_no_colour_reaches_a_pipe(workspace: Workspace) -> None:
    assert "\x1b" not in workspace.run("plan").stdout + workspace.run("doctor").stdout


def test_a_missing_engine_is_said_at_plan_time(workspace: Workspace) -> None:
    path = workspace.spec / "models.yaml"
    path.write_text(path.read_text().replace("engine: embedded", "engine: /no/such/llama-server"))
    done = workspace.run("apply", "--yes")
    assert done.returncode == 1
    assert "/no/such/llama-server does not exist" in done.stderr
    assert "hint:" in done.stderr


def test_an_unknown_flag_is_said_at_plan_time(workspace: Workspace) -> None:
    workspace.edit("a", "context_tokens: 512", "flags: {flash-atn: on}\n    context_tokens: 512")
    plan = workspace.json("plan")
    assert plan["refused"][0]["resource"] == "llama@a-cpu_only"
    assert "flash-atn" in plan["refused"][0]["reason"]
    assert "flash-attn" in plan["refused"][0]["hint"]


def test_a_missing_spec_folder_says_how_to_begin(workspace: Workspace) -> None:
    done = workspace.run("plan", "--spec", "elsewhere")
    assert done.returncode == 1
    assert "modelctl init" in done.stderr


@pytest.mark.slow
def test_of_twenty_applies_at_once_one_wins_and_the_rest_name_it(workspace: Workspace) -> None:
    running = [
        subprocess.Popen(
            (*MODELCTL, "apply", "--yes"),
            cwd=workspace.root,
            env=workspace.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in running]
    did = [stdout for stdout, _, code in ended if code == 0 and "nothing to do" not in stdout]
    assert len(did) == 1
    # The rest waited for it, and then found nothing to do or gave up; only who came after it need not wait.
    assert {code for _, _, code in ended} <= {0, 3}
    waited = [stderr for _, stderr, _ in ended if stderr]
    assert waited
    assert all("another modelctl is changing this machine: " in stderr for stderr in waited)
    assert any(f"pid {process.pid} (" in stderr for process in running for stderr in waited)
    assert chat(workspace.models[0].port) == "I am a, version 1."
    assert workspace.json("plan")["operations"] == []


@pytest.mark.slow
def test_a_unit_that_never_gets_ready_fails_at_its_deadline_and_the_one_before_returns(
    workspace: Workspace,
) -> None:
    workspace.ok("apply", "--yes")
    engine = workspace.root / "sluggish"
    launcher = f"{MODELCTL[0]} -m reconciler.embedded"
    # A real process that answers questions about itself as llama.cpp does, and then never serves.
    engine.write_text(
        f'#!/bin/sh\ncase "$*" in *--model*) exec sleep 1000;; *) exec {launcher} "$@";; esac\n'
    )
    engine.chmod(0o755)
    path = workspace.spec / "models.yaml"
    text = path.read_text().replace("engine: embedded", f"engine: {engine}\n  ready_timeout: 2s")
    path.write_text(text)
    done = workspace.run("apply", "--yes")
    assert done.returncode == 4, done.stderr
    assert "after 2 s" in done.stderr
    assert chat(workspace.models[0].port) == "I am a, version 1."
