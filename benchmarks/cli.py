"""How fast commands feel: help, list and the empty plan for 20, 1,000 and 10,000 models.

The first twenty models run for real (embedded engine, supervisord); the others are declared `on_demand` with
their artifacts in the store. Every command is a process of its own, from the shell's point of view.
"""

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Row, command_times, print_table

from reconciler.demo.tiny_model import tiny_model
from reconciler.demo.workspace import free_ports
from reconciler.host.process import run
from reconciler.host.supervisors.supervisord import SupervisordSupervisor

MODELCTL = str(Path(sys.executable).with_name("modelctl"))
RUNNING = 20
SIZES = {20: 0.35, 1_000: 1.0, 10_000: 6.0}
"""Number of models → seconds that `list` and an empty `plan` may take."""
HELP_SECONDS = 0.15
MEMORY_MIB = 300


@contextmanager
def applied(count: int) -> Iterator[dict[str, str]]:
    """A store and a committed spec of `count` models, applied; gives the environment for commands."""
    with tempfile.TemporaryDirectory(prefix="mctl-bench-") as name:
        root = Path(name)
        environment = write_workspace(root, count)
        try:
            [first] = command_times((MODELCTL, "apply", "--yes"), environment, runs=1, timeout=600)
            print(f"  {count} models applied in {first.seconds:.1f} s", file=sys.stderr)
            yield environment
        finally:
            SupervisordSupervisor(root / "store" / "state" / "supervisord").shut_down()


def write_workspace(root: Path, count: int) -> dict[str, str]:
    """A committed spec of `count` models below `root`; gives the environment for commands."""
    model = root / "tiny.gguf"
    model.write_bytes(tiny_model("I am tiny."))
    (root / "spec").mkdir()
    (root / "spec" / "models.yaml").write_text(_spec(count, model))
    for arguments in (
        ("init", "-q"),
        ("add", "spec"),
        ("-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-qm", "spec"),
    ):
        run(("git", "-C", str(root), *arguments), timeout=30)
    return {"MODELCTL_SPEC": str(root / "spec"), "MODELCTL_STORE": str(root / "store")}


def _spec(count: int, model: Path) -> str:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    ports = free_ports(min(count, RUNNING))
    lines = [
        "settings: {supervisor: supervisord, engine: embedded}",
        "profiles:",
        "  cpu_only: {gpus: []}",
        "models:",
    ]
    for number in range(count):
        serves = f"{{port: {ports[number]}}}" if number < RUNNING else "{}"
        lines.append(
            f"  - id: model-{number:05}\n"
            f"    purpose_tags: [fast]\n    context_tokens: 256\n    cost_tier: low\n"
            f"    residency: {'always' if number < RUNNING else 'on_demand'}\n"
            f"    flags: {{threads: 1, threads-http: 2}}\n"
            f'    current_version: "2025-11-17-01"\n    versions:\n      - version_id: "2025-11-17-01"\n'
            f"        gguf_url: file://{model}\n        sha256: {digest}\n"
            f"    profiles: {{cpu_only: {serves}}}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    rows = [Row("modelctl --help", command_times((MODELCTL, "--help"), {}), HELP_SECONDS)]
    for count, limit in SIZES.items():
        with applied(count) as environment:
            for words in (("list",), ("plan", "--detailed-exitcode")):
                times = command_times((MODELCTL, *words), environment)
                rows.append(Row(f"modelctl {words[0]}, {count} models", times, limit))
    print_table("Commands", rows, memory_limit_mib=MEMORY_MIB)


if __name__ == "__main__":
    main()
