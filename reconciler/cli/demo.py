"""`modelctl demo`: the main job from spec to token, in a folder of its own."""

import http.client
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.context import Context, declare
from reconciler.cli.output import Output, Style, paint
from reconciler.core.errors import ExitCode, ModelctlError, UnhealthyError

if TYPE_CHECKING:
    from reconciler.demo.workspace import Workspace

_ANSWER_SECONDS = 30.0


@declare("demo", short_help="Run the main job on tiny models, from spec to token.")
@click.option("--once", is_flag=True, help="End by itself instead of waiting for Ctrl-C.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work in this new folder and keep it; default: a temporary one, removed at the end.",
)
def command(context: Context, *, once: bool, folder: Path | None) -> ExitCode:
    """Run the main job on two tiny models: pull, plan, apply, chat, status, and an empty second plan.

    Everything stays in a folder of its own; no unit, port in use or home folder of yours is touched.
    """
    from reconciler.demo.workspace import make_workspace  # noqa: PLC0415

    root = (folder or Path(tempfile.mkdtemp(prefix="modelctl-demo-"))).absolute()
    root.mkdir(parents=True, exist_ok=True)
    try:
        workspace = make_workspace(root)
        os.environ["MODELCTL_STORE"] = str(workspace.store)
        os.environ["MODELCTL_SPEC"] = str(workspace.spec)
        try:
            _story(context.output, workspace)
            if not once:
                _wait(context.output, workspace)
        finally:
            _shut_down(context.output, workspace)
    finally:
        if folder is None:
            shutil.rmtree(root, ignore_errors=True)
    return ExitCode.OK


def _story(output: Output, workspace: "Workspace") -> None:
    from reconciler.demo.workspace import MODELS, commit  # noqa: PLC0415

    _say(output, f"a fresh Git repository with a spec and two tiny models: {workspace.root}")
    _run(output, "validate")
    _say(output, "hashes are resolved once, written into the spec, and committed with it")
    _run(output, "pull")
    commit(workspace, "Record what was pulled")
    _run(output, "plan")
    _run(output, "apply", "--yes")
    for model, port in workspace.ports.items():
        answer = _chat(port, model)
        output.raw(f"\n{paint('?', Style.BOLD)} {model}: Who are you?\n{paint('!', Style.GOOD)} {answer}")
        if answer != MODELS[model]:
            raise UnhealthyError(f"{model} answered {answer!r} instead of {MODELS[model]!r}")
    _run(output, "status")
    _say(output, "a second plan is empty")
    _run(output, "plan", "--detailed-exitcode")


def _wait(output: Output, workspace: "Workspace") -> None:
    port = next(iter(workspace.ports.values()))
    program = "modelctl" if shutil.which("modelctl") else shlex.quote(str(Path(sys.argv[0]).absolute()))
    output.raw(
        f"\nIt stays up until Ctrl-C. In another terminal:\n"
        f"  export MODELCTL_SPEC={shlex.quote(str(workspace.spec))}"
        f" MODELCTL_STORE={shlex.quote(str(workspace.store))}\n"
        f"  {program} status\n"
        f"  curl http://127.0.0.1:{port}/v1/chat/completions"
        """ -d '{"messages":[{"role":"user","content":"Who are you?"}]}'"""
    )
    ended = threading.Event()
    previous = {
        number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        ended.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(output: Output, *arguments: str) -> None:
    """One command of ours, shown as a person would type it."""
    from reconciler.cli import run  # noqa: PLC0415 - the group imports this module

    output.raw("\n" + paint(f"$ modelctl {shlex.join(arguments)}", Style.BOLD))
    code = run(list(arguments))
    if code != ExitCode.OK:
        raise ModelctlError(
            f"modelctl {shlex.join(arguments)} ended with exit code {code}", hint="see what it printed above"
        )


def _say(output: Output, text: str) -> None:
    output.raw("\n" + paint(f"# {text}", Style.DIM))


def _chat(port: int, model: str) -> str:
    """One chat request, as any OpenAI client sends it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    messages: Sequence[dict[str, str]] = ({"role": "user", "content": "Who are you?"},)
    body = json.dumps({"model": model, "messages": messages, "max_tokens": 64})
    try:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return str(answer["choices"][0]["message"]["content"])
    except (OSError, ValueError, KeyError) as error:
        raise UnhealthyError(f"{model} on port {port} gave no chat answer: {error}") from error
    finally:
        connection.close()


def _shut_down(output: Output, workspace: "Workspace") -> None:
    """End the demo's own supervisord, and with it everything that it runs."""
    from reconciler.host.supervisors.supervisord import SupervisordSupervisor  # noqa: PLC0415
    from reconciler.reconcile import session  # noqa: PLC0415

    supervisor = session.open_folder(workspace.spec).supervisor
    if isinstance(supervisor, SupervisordSupervisor):
        supervisor.shut_down()
    _say(output, "everything is stopped")
