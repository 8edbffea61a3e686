"""Versions promoted and rolled back while clients ask: `rollout: surge` beside `rollout: recreate`.

    python benchmarks/surge.py [--changes 10] [--per-second 50] [SUPERVISOR …]

Each change is a promotion or a rollback in turn; some clients keep their connections, some stream.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support.staging import staged
from tests.support.systemd import private_manager
from tests.support.traffic import Traffic, traffic
from tests.support.waiting import wait_until

GOAL = 0
SUPERVISORS = ("supervisord", "systemd-user", "pm2")
ROLLOUTS = ("surge", "recreate")
_BETWEEN = 25
"""Requests from one change to the next."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("supervisors", nargs="*", default=SUPERVISORS[:1])
    parser.add_argument("--changes", type=int, default=10)
    parser.add_argument("--per-second", type=float, default=50.0)
    options = parser.parse_args()
    print(f"\n{options.changes} promotions and rollbacks under {options.per_second:g} requests per second")
    print(f"  {'':22} {'requests':>9} {'failed':>7} {'median':>10} {'worst':>10}")
    for supervisor in options.supervisors:
        for rollout in ROLLOUTS:
            try:
                seen = measure(supervisor, rollout, options.changes, options.per_second)
            except pytest.skip.Exception as reason:
                print(f"  {supervisor:12} {rollout:9} not here: {reason}")
            else:
                print_row(f"{supervisor:12} {rollout:9}", seen, goal=GOAL if rollout == "surge" else None)


def measure(supervisor: str, rollout: str, changes: int, per_second: float) -> Traffic:
    """What clients saw while versions changed."""
    with ExitStack() as opened:
        manager = opened.enter_context(private_manager()) if supervisor == "systemd-user" else None
        workspace = opened.enter_context(staged(supervisor, manager)).workspace
        model = workspace.add("a", extra=f"    rollout: {rollout}\n")
        model.files["v2"] = workspace.gguf("a-v2", "I am a, version 2.")
        workspace.up()
        with traffic(model.port, per_second=per_second) as seen:
            for number in range(changes):
                told = seen.count
                wait_until(lambda: seen.count > told + _BETWEEN, 60, "requests")  # noqa: B023 - called here
                command = ("rollback", "a") if number % 2 else ("promote", "a", "--to", "v2")
                workspace.ok(*command, "--yes")
            told = seen.count
            wait_until(lambda: seen.count > told + _BETWEEN, 60, "requests")
    return seen


def print_row(name: str, seen: Traffic, *, goal: int | None) -> None:
    failed = len(seen.failures)
    verdict = "" if goal is None else f"  goal {goal} failed {'✓' if failed <= goal else '✗'}"
    seconds = sorted(seen.seconds)
    median, worst = seconds[len(seconds) // 2] * 1000, seconds[-1] * 1000
    print(f"  {name} {seen.count:9} {failed:7} {median:7.0f} ms {worst:7.0f} ms{verdict}")


if __name__ == "__main__":
    main()
