"""The demo's workspace: two tiny models, a spec that serves them, and a Git repository around both."""

import socket
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.errors import ModelctlError
from reconciler.demo.tiny_model import tiny_model
from reconciler.host.process import run

MODELS = {
    "tiny-ada": "I am tiny-ada, and I was made a second ago.",
    "tiny-bob": "Tiny-bob here. Ask me anything.",
}
"""Model id → what it answers."""

_SPEC = """\
# The demo's spec. Everything below is the desired state; `modelctl apply` makes the machine so.
settings:
  supervisor: supervisord     # the embedded default: needs nothing of the system
  engine: embedded            # llama.cpp from the xllamacpp wheel

profiles:
  cpu_only: {gpus: []}

models:
"""

_MODEL = """\
  - id: {model}
    display_name: {title}
    purpose_tags: [fast]
    context_tokens: 1024
    cost_tier: low
    current_version: "2025-11-17-01"
    versions:
      - version_id: "2025-11-17-01"
        gguf_url: file://{path}
        notes: Made by the demo; `modelctl pull` fills in its sha256.
    parallel: 2
    flags: {{threads: 1}}       # tiny models on few cores: more threads would only wait for each other
    memory_limit: 2GiB        # restarted above it
    profiles:
      cpu_only: {{port: {port}}}
"""

_GIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Workspace:
    """Paths of the demo; everything lies below `root`."""

    root: Path
    ports: dict[str, int]

    @property
    def spec(self) -> Path:
        return self.root / "spec"

    @property
    def store(self) -> Path:
        return self.root / "store"


def make_workspace(root: Path) -> Workspace:
    """Write models, spec and repository below `root`, which must exist and be empty."""
    ports = dict(zip(MODELS, free_ports(len(MODELS)), strict=True))
    workspace = Workspace(root, ports)
    files = root / "files"
    files.mkdir()
    workspace.spec.mkdir()
    text = _SPEC
    for model, answer in MODELS.items():
        path = files / f"{model}.gguf"
        path.write_bytes(tiny_model(answer))
        title = model.replace("-", " ").title()
        text += _MODEL.format(model=model, title=title, path=path, port=ports[model])
    (workspace.spec / "models.yaml").write_text(text, encoding="utf-8")
    (root / ".gitignore").write_text("store/\nfiles/\n", encoding="utf-8")
    _git(root, "init", "--quiet", "--initial-branch=main")
    commit(workspace, "Two tiny models")
    return workspace


def commit(workspace: Workspace, message: str) -> None:
    """Commit everything, under a name of the demo's own so that Git needs no configuration."""
    _git(workspace.root, "add", "--all")
    author = (
        "-c",
        "user.name=modelctl demo",
        "-c",
        "user.email=demo@localhost",
        "-c",
        "commit.gpgsign=false",
    )
    _git(workspace.root, *author, "commit", "--quiet", "--message", message)


def _git(folder: Path, *arguments: str) -> None:
    done = run(("git", "-C", str(folder), *arguments), timeout=_GIT_SECONDS)
    if done.returncode != 0:
        raise ModelctlError(
            f"git {arguments[0]} failed: {done.complaint}", hint="the demo needs a working git"
        )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until the last is found, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
