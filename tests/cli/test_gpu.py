"""`modelctl gpu`, `gpu lock` and `gpu unlock` as a person uses them."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
import pytest

from reconciler.cli.gpu import command
from reconciler.core.errors import ModelctlError, Refused, UsageError
from reconciler.core.types import ProfileName
from reconciler.host.local_time import LOCAL
from reconciler.host.lockout import own_path
from reconciler.host.profile_file import profile_path, write_profile
from tests.support.nvml.standin import GIB, RTX_5080, FakeGpus, FakeProcess

SPEC = """\
settings: {store: store}
profiles:
  max: {gpus: ["RTX 5080", "RTX 3060", "GTX 1080 Ti"]}
  mid: {gpus: ["RTX 3060", "GTX 1080 Ti"]}
  cpu_only: {gpus: []}
"""


@dataclass
class Desk:
    """A spec, a store and three cards, all below one folder."""

    folder: Path
    gpus: FakeGpus
    read: Callable[[], str]

    @property
    def state(self) -> Path:
        return self.folder / "store/state"

    @property
    def foreign(self) -> Path:
        return self.folder / "gpu_lockout"

    def gpu(self, *arguments: str) -> str:
        command.main(list(arguments), prog_name="modelctl gpu", standalone_mode=False)
        return self.read()

    def document(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.gpu(*arguments, "--format", "json"))

    def profile(self) -> str:
        return self.document()["profile"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec/models.yaml").write_text(SPEC)
    monkeypatch.setenv("MODELCTL_SPEC", str(tmp_path / "spec"))
    monkeypatch.setenv("MODELCTL_GPU_LOCKOUT", str(tmp_path / "gpu_lockout"))
    monkeypatch.delenv("MODELCTL_STORE", raising=False)
    gpus = FakeGpus(tmp_path / "gpus")
    gpus.install(monkeypatch)
    return Desk(tmp_path, gpus, lambda: capsys.readouterr().out)


def test_it_shows_gpus_profiles_and_what_keeps_them(desk: Desk) -> None:
    desk.gpus.change(0, utilisation=97, free=5 * GIB)
    lines = desk.gpu().splitlines()
    assert lines[0] == "profile mid"
    assert [line.split()[0] for line in lines[3:6]] == ["0", "1", "2"]
    assert lines[3].endswith("5 GiB   16 GiB  97 %  40 °C  20 W   busy: 97 % busy with other work")
    assert "max       busy      NVIDIA GeForce RTX 5080: 97 % busy with other work" in lines
    assert "mid       active" in lines


def test_looking_changes_nothing_on_disk(desk: Desk) -> None:
    desk.gpu()
    assert not (desk.folder / "store").exists()


def test_json_has_every_figure(desk: Desk) -> None:
    desk.gpus.change(1, processes=(FakeProcess(9, GIB, 3),), milliwatts=None)
    document = desk.document()
    assert document["format_version"] == 1
    assert document["profile"] == "max"
    assert document["gpus"][1] == {
        "uuid": "GPU-30600000-0000-4000-8000-000000000000",
        "index": 1,
        "name": "NVIDIA GeForce RTX 3060",
        "total_bytes": 12 * GIB,
        "free_bytes": 11 * GIB,
        "utilisation_percent": 0,
        "temperature_celsius": 40,
        "power_watts": None,
        "eligible": True,
        "locked": False,
        "hidden": False,
        "reason": None,
        "processes": [{"pid": 9, "used_bytes": GIB, "utilisation_percent": 3, "ours": False}],
    }
    assert [one["state"] for one in document["profiles"]] == ["possible"] * 3
    assert document["conditions"] == []
    assert document["remarks"] == []


def test_a_lock_moves_the_profile_and_unlock_gives_it_back(desk: Desk) -> None:
    said = desk.gpu("lock", "0", "--reason", "Gaming session", "--until", "2999-01-01T22:00:00Z")
    assert said.startswith("locked GPU 0 (NVIDIA GeForce RTX 5080) until 2999-01-0")
    document = desk.document()
    assert document["profile"] == "mid"
    assert document["lockouts"] == [
        {
            "lockout_gpus": [RTX_5080.uuid],
            "reason": "Gaming session",
            "until": "2999-01-01T22:00:00+00:00",
            "file": str(desk.state / "gpu-lockout.json"),
        }
    ]
    assert desk.gpu("unlock") == "1 lockout taken back\n"
    assert desk.profile() == "max"
    assert not (desk.state / "gpu-lockout.json").exists()


def test_locks_add_up_and_are_taken_back_one_by_one(desk: Desk) -> None:
    desk.gpu("lock", "RTX 5080")
    desk.gpu("lock", "1", "GTX")
    desk.gpu("lock", "0", "--reason", "again")
    assert desk.profile() == "cpu_only"
    kept = desk.document("unlock", "1")["lockouts"]
    assert [(len(one["lockout_gpus"]), one["reason"]) for one in kept] == [
        (1, "locked by hand"),
        (1, "again"),
    ]
    assert desk.gpu("unlock") == "2 lockouts taken back\n"
    assert desk.gpu("unlock") == "0 lockouts taken back\n"


def test_a_lock_of_another_program_is_shown_and_not_ours_to_take_back(desk: Desk) -> None:
    desk.foreign.write_text('{"lockout_gpus": ["0"], "reason": "Gaming session"}')
    assert "locked: Gaming session" in desk.gpu()
    with pytest.raises(Refused, match="another program keeps GPU 0: Gaming session"):
        desk.gpu("unlock", "0")
    desk.read()
    assert desk.gpu("unlock") == "0 lockouts taken back\n"
    assert desk.foreign.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["lock", "7"], "no GPU fits '7'"),
        (["lock", "0", "--until", "soon"], "--until 'soon' is no time"),
        (["lock", "0", "--until", "2020-01-01"], "--until '2020-01-01' is over already"),
        (["unlock", "Radeon"], "no GPU fits 'Radeon'"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error_with_a_hint(
    desk: Desk, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(UsageError) as error:
        desk.gpu(*arguments)
    assert error.value.what == complaint
    assert error.value.hint
    assert not desk.state.exists()


def test_locking_without_a_driver_says_why_it_cannot(desk: Desk) -> None:
    desk.gpus.fail("nvmlInitWithFlags", 18)
    with pytest.raises(ModelctlError) as error:
        desk.gpu("lock", "0")
    assert error.value.what.startswith("no GPU can be seen: the NVIDIA library and the loaded kernel driver")
    assert desk.gpu("unlock") == "0 lockouts taken back\n"


def test_trouble_is_shown_with_what_mends_it(desk: Desk) -> None:
    desk.gpus.fail("nvmlDeviceGetMemoryInfo", 15, index=0)
    said = desk.gpu()
    assert said.startswith("profile mid\n")
    assert "! gpu 0: GpuLost: GPU 0: the card fell off the bus (nvmlDeviceGetMemoryInfo)" in said
    assert "  hint: look for Xid 79" in said


def test_gpus_are_shown_without_a_readable_spec(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.folder / "spec/models.yaml").write_text("profiles: [")
    command.main([], prog_name="modelctl gpu", standalone_mode=False)
    said = capsys.readouterr()
    assert "NVIDIA GeForce RTX 5080" in said.out
    assert "the spec cannot be read" in said.err


def test_what_a_running_watcher_says_of_the_profile_holds(desk: Desk) -> None:
    write_profile(profile_path(desk.state), ProfileName("cpu_only"))
    assert desk.profile() == "cpu_only"
    os.utime(profile_path(desk.state), (0, 0))
    assert desk.profile() == "max"


def test_a_lock_counts_before_the_watcher_has_looked_again(desk: Desk) -> None:
    write_profile(profile_path(desk.state), ProfileName("max"))
    desk.gpu("lock", "0")
    assert desk.profile() == "mid"
    desk.gpu("unlock", "0")
    assert desk.profile() == "max"


def test_watching_tells_what_changes_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """In a process of its own, over the loader's own way to the library."""
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec/models.yaml").write_text(SPEC)
    gpus = FakeGpus(tmp_path / "gpus")
    start = "from reconciler.cli.gpu import command; command.main(prog_name='gpu', standalone_mode=False)"
    environment = {"MODELCTL_GPU_LOCKOUT": str(tmp_path / "none"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", start, "--spec", str(tmp_path / "spec"), "--watch", "--interval", "0.1"],
        env=os.environ | gpus.environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        guard = threading.Timer(60, watching.kill)
        guard.start()
        lines = (line.rstrip() for line in watching.stdout)
        assert next(lines) == "profile max"
        assert next(line for line in lines if line.startswith("cpu_only"))
        gpus.change(0, utilisation=97, free=5 * GIB)
        changes = [next(lines)[9:] for _ in range(3)]
        assert changes == [
            "GPU 0 (NVIDIA GeForce RTX 5080) is free so far: 97 % busy with other work",
            "profile max → mid",
            "GPU 0 (NVIDIA GeForce RTX 5080) is busy: 97 % busy with other work",
        ]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=20) != 0
        guard.cancel()


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "\x1b[31mred"])
def test_a_reason_is_one_line(desk: Desk, reason: str) -> None:
    with pytest.raises(UsageError, match="one line of words"):
        desk.gpu("lock", "0", "--reason", reason)


def test_a_lockout_may_last_for_a_while(desk: Desk) -> None:
    desk.gpu("lock", "0", "--until", "2h")
    assert desk.profile() == "mid"
    with pytest.raises(UsageError, match="no time"):
        desk.gpu("lock", "0", "--until", "999999999999h")


def test_an_end_in_another_time_zone_is_told_in_ours(desk: Desk) -> None:
    end = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    there = end.astimezone(timezone(timedelta(hours=5)))
    assert f"until {end.astimezone(LOCAL):%Y-%m-%d %H:%M}" in desk.gpu(
        "lock", "0", "--until", there.isoformat()
    )


def test_a_lockout_file_of_ours_that_was_broken_by_hand_is_written_anew(desk: Desk) -> None:
    own_path(desk.state).parent.mkdir(parents=True)
    own_path(desk.state).write_text("{")
    desk.gpu("lock", "0")
    assert desk.profile() == "mid"


@pytest.mark.parametrize("interval", ["0", "nan", "inf", "-1", "1e400"])
def test_an_interval_is_a_number_of_seconds(desk: Desk, interval: str) -> None:
    with pytest.raises((UsageError, click.UsageError)):
        desk.gpu("--watch", "--interval", interval)
