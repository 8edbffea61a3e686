"""The system's scope of systemd on a booted machine: limits, sandbox, a reboot, a power cut."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.vm.machine import Machine, make_image, problem

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.skipif(problem() is not None, reason=f"no virtual machine: {problem()}"),
]

_SPEC = """\
settings: {supervisor: systemd, engine: embedded, store: /srv/models, reserve: {ram: 100MiB}}
profiles:
  cpu_only: {gpus: []}
models:
  - id: ada
    context_tokens: 512
    current_version: v1
    versions: [{version_id: v1, gguf_url: "file:///root/ada.gguf"}]
    flags: {threads: 1}
    memory_limit: 600MiB
    profiles:
      cpu_only: {port: 8601}
  - id: bob
    context_tokens: 512
    current_version: v1
    versions: [{version_id: v1, gguf_url: "file:///root/ada.gguf"}]
    flags: {threads: 1}
    rollout: surge
    profiles:
      cpu_only: {port: 8602}
"""
_PREPARE = """
useradd --system --create-home --home-dir /srv/models llama
git config --global user.name test; git config --global user.email test@localhost
/opt/modelctl/bin/python -c 'from reconciler.demo.tiny_model import tiny_model
open("/root/ada.gguf", "wb").write(tiny_model("I am ada."))'
mkdir -p /root/llm/spec; cd /root/llm; git init -q; cat > spec/models.yaml
"""
_ASK = """
for port in 8601 8602; do
  curl --silent --fail --max-time 30 http://127.0.0.1:$port/v1/chat/completions \\
    -d '{"messages": [{"role": "user", "content": "?"}], "max_tokens": 8}'
done
"""
_UNIT = "llama@ada-cpu_only"
_PROBE = f"""
sed -e 's#^ExecStart=.*#ExecStart=:/bin/sh /usr/local/bin/probe#' \
  -e 's/^Restart=.*/Restart=no/' -e 's/^Type=.*/Type=oneshot/' \
  /etc/systemd/system/{_UNIT}.service > /run/systemd/system/probe.service
echo 'for path in /etc /usr /run /home /root /srv/models /srv/models/state; do
  touch $path/probe 2>/dev/null && echo wrote $path; done
touch /srv/models/state/run/probe && rm /srv/models/state/run/probe && echo wrote its sockets
cat /etc/shadow > /dev/null 2>&1 && echo read shadow
id -un' > /usr/local/bin/probe
systemctl daemon-reload; systemctl start probe; journalctl --sync
journalctl --quiet --output=cat _SYSTEMD_UNIT=probe.service
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Booted, with one model applied."""
    image = make_image(Path(os.environ["MODELCTL_VM"]), os.environ.get("MODELCTL_VM_SUITE", "bookworm"))
    made = Machine(image, tmp_path_factory.mktemp("vm") / "disk.qcow2")
    try:
        made.boot()
        made.update()
        made.ok(f"{_PREPARE.rstrip()} <<'END'\n{_SPEC}END\n")
        made.ok("cd /root/llm; modelctl pull; git add .; git commit -qm spec; modelctl apply --yes; sync")
        yield made
    finally:
        made.cut_off()


def _answers(machine: Machine) -> bool:
    """Both do: one itself, one through the gateway."""
    return machine.run(_ASK).stdout.count("I am ada.") == 2


def _pid(machine: Machine) -> str:
    return machine.ok(f"systemctl show --property=MainPID --value {_UNIT}").strip()


def test_it_answers_and_its_words_are_in_the_journal(machine: Machine) -> None:
    assert _answers(machine)
    assert "slot" in machine.ok("cd /root/llm; modelctl logs ada")
    assert "slot" in machine.ok(f"journalctl --unit={_UNIT}")
    assert machine.ok("systemd-analyze verify /etc/systemd/system/llama@*.service 2>&1") == ""


def test_the_sandbox_is_in_force(machine: Machine) -> None:
    """Of a unit that is the model's but for what it runs."""
    assert machine.ok(_PROBE).splitlines() == ["wrote its sockets", "llama"]


def test_the_kernel_holds_the_memory_limit(machine: Machine) -> None:
    before = _pid(machine)
    group = machine.ok(f"systemctl show --property=ControlGroup --value {_UNIT}").strip()
    hog = "exec python3 -c 'bytearray(900 << 20)'"
    machine.run(f'sh -c "echo \\$\\$ > /sys/fs/cgroup{group}/cgroup.procs; {hog}"')
    wait_until(lambda: _pid(machine) not in {"0", before} and _answers(machine), 120, "the model's return")
    assert "oom-kill" in machine.ok(f"journalctl --unit={_UNIT}")


def test_after_a_reboot_all_is_as_before(machine: Machine) -> None:
    machine.reboot()
    wait_until(lambda: _answers(machine), 120, "an answer after the reboot")
    machine.ok("cd /root/llm; modelctl plan --detailed-exitcode")


def test_an_apply_that_lost_its_power_is_finished_by_the_next(machine: Machine) -> None:
    edit = "sed -i 's/context_tokens: 512/context_tokens: 256/' spec/models.yaml"
    machine.ok(f"cd /root/llm; {edit}; sync; (modelctl apply --yes > /dev/null 2>&1 &)")
    written = f"grep -e '--ctx-size 256' /etc/systemd/system/{_UNIT}.service"
    wait_until(lambda: machine.run(written).returncode == 0, 60, "the unit's new file")
    machine.cut_off()
    machine.boot()
    machine.ok("cd /root/llm; modelctl apply --yes; modelctl plan --detailed-exitcode; modelctl verify")
    assert _answers(machine)
