"""What the machine has, and what control groups leave of it."""

import os
from pathlib import Path

import psutil
import pytest

from reconciler.core.types import Bytes
from reconciler.host import machine
from reconciler.host.memory import host_memory, unified_gpu_limit

MIB = 1024**2
GIB = 1024**3


class Groups:
    """A /proc and a /sys/fs/cgroup as files."""

    def __init__(self, folder: Path, membership: str) -> None:
        self.proc, self.mount = folder / "proc", folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self/cgroup").write_text(membership)
        self.mount.mkdir()

    def write(self, path: str, text: object) -> None:
        file = self.mount / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


@pytest.fixture
def v2(tmp_path: Path) -> Groups:
    groups = Groups(tmp_path, "0::/user.slice/session.scope\n")
    groups.write("cgroup.controllers", "cpu memory")
    return groups


@pytest.fixture
def v1(tmp_path: Path) -> Groups:
    return Groups(tmp_path, "9:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/\n")


def test_without_control_groups_it_is_the_machines_ram(tmp_path: Path) -> None:
    found = host_memory(proc=tmp_path, mount=tmp_path)
    assert found.total == psutil.virtual_memory().total
    assert 0 < found.available <= found.total
    assert found.limited_by is None


def test_the_lowest_limit_on_the_way_up_holds(v2: Groups) -> None:
    v2.write("user.slice/session.scope/memory.max", "max")
    v2.write("user.slice/memory.max", 300 * MIB)
    v2.write("user.slice/memory.current", 100 * MIB)
    v2.write("user.slice/memory.stat", f"anon 1\ninactive_file {30 * MIB}\nactive_file {10 * MIB}")
    v2.write("memory.max", 400 * MIB)
    found = host_memory(proc=v2.proc, mount=v2.mount)
    assert found.total == 300 * MIB
    assert found.available == (300 - 100 + 40) * MIB
    assert found.limited_by == str(v2.mount / "user.slice/memory.max")


def test_the_throttling_limit_counts(v2: Groups) -> None:
    v2.write("user.slice/session.scope/memory.max", 400 * MIB)
    v2.write("user.slice/session.scope/memory.high", 200 * MIB)
    found = host_memory(proc=v2.proc, mount=v2.mount)
    assert found.total == 200 * MIB
    assert found.limited_by is not None
    assert found.limited_by.endswith("memory.high")


def test_a_full_group_has_nothing_available(v2: Groups) -> None:
    v2.write("user.slice/memory.max", 100 * MIB)
    v2.write("user.slice/memory.current", 101 * MIB)
    assert host_memory(proc=v2.proc, mount=v2.mount).available == 0


def test_version_one_in_a_container_whose_path_is_not_mounted(v1: Groups) -> None:
    v1.write("memory/memory.limit_in_bytes", 256 * MIB)
    v1.write("memory/memory.usage_in_bytes", 64 * MIB)
    v1.write("memory/memory.stat", f"inactive_file 1\ntotal_inactive_file {16 * MIB}")
    found = host_memory(proc=v1.proc, mount=v1.mount)
    assert (found.total, found.available) == (256 * MIB, (256 - 64 + 16) * MIB)


def test_version_ones_word_for_no_limit_is_no_limit(v1: Groups) -> None:
    v1.write("memory/memory.limit_in_bytes", 9223372036854771712)
    assert host_memory(proc=v1.proc, mount=v1.mount).limited_by is None


@pytest.mark.parametrize(
    ("ram", "wired_limit_mb", "expected"),
    [
        (24 * GIB, 0, 16 * GIB),
        (36 * GIB, 0, 24 * GIB),
        (48 * GIB, 0, 36 * GIB),
        (512 * GIB, 0, 384 * GIB),
        (512 * GIB, 480 * 1024, 480 * GIB),
        (64 * GIB, 99 * 1024, 64 * GIB),
    ],
)
def test_what_a_unified_gpu_may_hold(ram: int, wired_limit_mb: int, expected: int) -> None:
    assert unified_gpu_limit(Bytes(ram), wired_limit_mb) == expected


@pytest.mark.skipif(machine.is_apple_silicon(), reason="elsewhere than on a Mac")
def test_ram_is_no_gpu_memory_elsewhere() -> None:
    assert host_memory().unified_gpu_limit is None


def test_a_quota_cuts_the_cpus(v2: Groups) -> None:
    whole = machine.cpu_count(proc=v2.proc, mount=v2.mount)
    assert 1 <= whole <= (os.cpu_count() or 1)
    v2.write("user.slice/cpu.max", "max 100000")
    assert machine.cpu_count(proc=v2.proc, mount=v2.mount) == whole
    v2.write("user.slice/session.scope/cpu.max", "50000 100000")
    assert machine.cpu_count(proc=v2.proc, mount=v2.mount) == 1


def test_a_quota_of_version_one_cuts_the_cpus(v1: Groups) -> None:
    v1.write("cpu/cpu.cfs_period_us", 100000)
    v1.write("cpu/cpu.cfs_quota_us", -1)
    whole = machine.cpu_count(proc=v1.proc, mount=v1.mount)
    v1.write("cpu/docker/abc/cpu.cfs_period_us", 100000)
    v1.write("cpu/docker/abc/cpu.cfs_quota_us", 20000)
    assert machine.cpu_count(proc=v1.proc, mount=v1.mount) == 1 <= whole


def test_the_architecture_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, meant in (("AMD64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64")):
        monkeypatch.setattr(machine.platform, "machine", lambda said=said: said)
        assert machine.architecture() == meant
