"""A folder with a spec in Git, a store and tiny models, and modelctl run in it as a person would."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from reconciler.demo.tiny_model import tiny_model
from reconciler.demo.workspace import free_ports
from reconciler.host.gateway import status

MODELCTL = (sys.executable, "-c", "from reconciler.cli import main; main()")


@dataclass
class Model:
    """A model of the test's spec; `extra` is pasted into its entry."""

    id: str
    port: int
    version: str = "v1"
    context: int = 512
    extra: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    """Version → its GGUF; every version that the spec lists."""


@dataclass
class Workspace:
    """Everything lies below `root`; nothing of the user's is touched."""

    root: Path
    supervisor: str = "supervisord"
    engine: str = "embedded"
    settings: str = ""
    models: list[Model] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> Path:
        return self.root / "spec"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def gguf(self, name: str, answer: str) -> Path:
        """Write a tiny model that gives `answer`."""
        path = self.root / "files" / f"{name}.gguf"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tiny_model(answer))
        return path

    def add(self, name: str, answer: str | None = None, **values: Any) -> Model:
        """A model with one version, served on a free port."""
        path = self.gguf(f"{name}-v1", answer or f"I am {name}, version 1.")
        model = Model(name, values.pop("port", None) or free_ports(1)[0], files={"v1": path}, **values)
        self.models.append(model)
        return model

    def write(self) -> None:
        """Write the spec, and commit it."""
        self.spec.mkdir(exist_ok=True)
        if not (self.root / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
            (self.root / ".gitignore").write_text("store/\nfiles/\noverrides-cache/\n")
        lines = [f"settings:\n  supervisor: {self.supervisor}\n  engine: {self.engine}\n{self.settings}"]
        lines += ["profiles:\n  cpu_only: {gpus: []}\n", "models:" + ("" if self.models else " []")]
        lines += [_entry(model) for model in self.models]
        (self.spec / "models.yaml").write_text("\n".join(lines) + "\n")
        self.commit("spec")

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        self.git(*who, "commit", "--quiet", "--allow-empty", "--message", message)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ("git", "-C", self.root, *arguments), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def env(self) -> dict[str, str]:
        here = {"MODELCTL_SPEC": str(self.spec), "MODELCTL_STORE": str(self.store), "HOME": str(self.root)}
        paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return {**os.environ, **paths, **here, **self.environment}

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run modelctl to its end, whatever its exit code."""
        return subprocess.run(
            (*MODELCTL, *arguments),
            cwd=self.root,
            env=self.env(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    def ok(self, *arguments: str, timeout: float = 60) -> str:
        """Run modelctl; it must succeed."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"modelctl {arguments} → {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, codes: tuple[int, ...] = (0, 4)) -> dict[str, Any]:
        done = self.run(*arguments, "--format", "json")
        assert done.returncode in codes, f"modelctl {arguments} → {done.returncode}\n{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def runtimes(self) -> dict[str, dict[str, Any]]:
        """Status by model."""
        return {row["model"]: row for row in self.json("status")["runtimes"]}

    def kill_gateway(self) -> None:
        """As the kernel would, when memory runs out."""
        found = status(self.store / "state" / "run" / "gateway.sock")
        assert found is not None, "no gateway answers"
        os.kill(found.pid, signal.SIGKILL)

    def up(self) -> None:
        """Write, commit, and apply."""
        self.write()
        self.ok("apply", "--yes")

    def edit(self, model: str, before: str, after: str, *, commit: bool = True) -> None:
        """Change the first place of `before` in one model's entry."""
        path = self.spec / "models.yaml"
        head, mark, rest = path.read_text().partition(f"- id: {model} ")
        assert before in rest, f"{before!r} is not in the entry of {model}"
        path.write_text(head + mark + rest.replace(before, after, 1))
        if commit:
            self.commit("edit")

    def drop(self, model: str) -> None:
        """Take one model's entry out, and commit."""
        path = self.spec / "models.yaml"
        head, _, rest = path.read_text().partition(f"  - id: {model} ")
        path.write_text(head + rest.partition("\n  - id: ")[2])
        self.commit("drop")


def chat(port: int, text: str = "Who are you?", timeout: float = 20) -> str:
    """One chat answer of whoever listens on `port`."""
    body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 64}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - always http, see above
        return str(json.load(answer)["choices"][0]["message"]["content"])


def promoting(workspace: Workspace, model: str = "a", to: str = "v2") -> subprocess.Popen[str]:
    """A promotion in another terminal."""
    return subprocess.Popen(
        (*MODELCTL, "promote", model, "--to", to, "--yes"),
        env=workspace.env(),
        cwd=workspace.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def reserve_all_but(size: int) -> str:
    """A setting under which models of `size` bytes fit, and nothing fits beside them."""
    return f"  reserve: {{ram: {psutil.virtual_memory().total - size}}}\n"


def _entry(model: Model) -> str:
    versions = "".join(
        f"      - version_id: {version}\n        gguf_url: file://{path}\n        sha256: {_sha256(path)}\n"
        for version, path in model.files.items()
    )
    return (
        f"  - id: {model.id}  # the model {model.id}\n"
        f"    context_tokens: {model.context}\n"
        f"    current_version: {model.version}\n"
        f"    versions:\n{versions}"
        f"{model.extra}"
        # One thread each: many servers run on few cores, and idle threads would only wait for each other.
        f"    profiles:\n      cpu_only: {{port: {model.port}, flags: {{threads: 1}}}}\n"
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
