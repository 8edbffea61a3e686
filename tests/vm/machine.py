"""A Debian with systemd and modelctl in a virtual machine: made once, booted, asked over SSH, cut off."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.demo.workspace import free_ports
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
TOOLS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen", "chroot")
_PACKAGES = (
    "systemd systemd-sysv dbus dbus-user-session libpam-systemd python3 python3-venv git openssh-server"
    " curl cron sudo iproute2 procps libgomp1 linux-image-cloud-amd64 initramfs-tools zstd udev"
)
_BOOT_SECONDS = 300.0
"""For an emulated processor on a busy machine: 20 s on an idle one."""
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n"


def problem() -> str | None:
    """Why no machine can be had here."""
    if not os.environ.get("MODELCTL_VM"):
        return "set MODELCTL_VM to a folder for the image (8 GB), and it is made there"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if platform.machine() != "x86_64" or os.geteuid() != 0:
        return "the image is made by root, on x86_64"
    return None


def make_image(folder: Path, suite: str = "bookworm") -> Path:
    """The folder with `disk.raw`, `vmlinuz`, `initrd` and `key`; what is there already is taken."""
    made = folder / suite
    if (made / "disk.raw").exists():
        return made
    made.mkdir(parents=True, exist_ok=True)
    root = made / "root"
    shutil.rmtree(root, ignore_errors=True)
    _do("mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(_PACKAGES.split())}", suite, root)
    _install(root)
    _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made / "key")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(made / "key.pub", root / "root/.ssh/authorized_keys")
    (root / "etc/fstab").write_text("/dev/vda / ext4 errors=remount-ro 0 1\n")
    (root / "etc/systemd/network/80.network").write_text(_NETWORK)
    _do("chroot", root, "systemctl", "enable", "--quiet", "systemd-networkd", "ssh", "cron")
    for name in ("vmlinuz", "initrd"):
        shutil.copy(next((root / "boot").glob(f"{name}*")), made / name)
    part = made / "disk.part"
    _do("truncate", "--size=6G", part)
    _do("mke2fs", "-q", "-F", "-t", "ext4", "-d", root, part)
    shutil.rmtree(root)
    part.rename(made / "disk.raw")
    return made


def _install(root: Path) -> None:
    """A wheel of this checkout and what it depends on, for the machine's Python, in /opt/modelctl."""
    wheels = root / "wheels"
    _do(sys.executable, "-m", "build", "--wheel", "--outdir", wheels, ROOT)
    minor = next((root / "usr/bin").glob("python3.[0-9]*")).name.removeprefix("python")
    platforms = [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (17, 24, 27, 28, 34)]
    python = (
        f"--python-version={minor}",
        "--only-binary=:all:",
        "--platform=manylinux2014_x86_64",
        *platforms,
    )
    [wheel] = wheels.glob("modelctl-*.whl")
    _do(sys.executable, "-m", "pip", "download", "--quiet", *python, "--dest", wheels, wheel)
    _do("chroot", root, "python3", "-m", "venv", "/opt/modelctl")
    pip = "/opt/modelctl/bin/pip"
    _do("chroot", root, pip, "install", "--quiet", "--no-index", "--find-links", "/wheels", "modelctl")
    (root / "usr/local/bin/modelctl").symlink_to("/opt/modelctl/bin/modelctl")


def _do(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True, stdin=subprocess.DEVNULL)


@dataclass
class Machine:
    """One machine; what it writes goes to `overlay`, never to the image."""

    image: Path
    overlay: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: "subprocess.Popen[bytes] | None" = None

    def boot(self) -> None:
        """Start it, and wait until it can be asked. It reaches nothing outside."""
        if not self.overlay.exists():
            base = self.image / "disk.raw"
            _do("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, self.overlay)
        self.process = subprocess.Popen(
            [
                "qemu-system-x86_64",
                *_accelerator(),
                *("-smp", "2", "-m", "2048", "-display", "none", "-nodefaults"),
                *("-kernel", str(self.image / "vmlinuz"), "-initrd", str(self.image / "initrd")),
                *("-append", "root=/dev/vda rw quiet mitigations=off net.ifnames=0"),
                *("-drive", f"file={self.overlay},if=virtio"),
                *("-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"),
                *("-device", "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci"),
            ],
            stdin=subprocess.DEVNULL,
        )
        self.await_answer()

    def await_answer(self) -> None:
        wait_until(lambda: self.run("true").returncode == 0, _BOOT_SECONDS, "an answer over SSH")

    def run(self, script: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root, whatever its exit code."""
        return subprocess.run(
            [*self._ssh(), "sh -s"],
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def update(self) -> None:
        """Put this checkout's code over the image's, which may be older."""
        how = (
            "--exclude=__pycache__",
            "--transform=s,^units,reconciler/unit_templates,",
            f"--directory={ROOT}",
        )
        archive = subprocess.run(
            ["tar", "--create", *how, "reconciler", "units"],
            capture_output=True,
            check=True,
        )
        unpack = "tar --extract --no-same-owner --directory=$(echo /opt/modelctl/lib/python3*/site-packages)"
        subprocess.run([*self._ssh(), unpack], input=archive.stdout, check=True)

    def _ssh(self) -> tuple[str, ...]:
        options = (
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"),
        )
        return ("ssh", "-i", str(self.image / "key"), *options, "-p", str(self.port), "root@127.0.0.1")

    def ok(self, script: str, timeout: float = 300) -> str:
        done = self.run(f"set -e\n{script}", timeout)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def reboot(self) -> None:
        before = self.ok("cat /proc/sys/kernel/random/boot_id")
        self.run("systemctl reboot")
        probe = "cat /proc/sys/kernel/random/boot_id"
        wait_until(lambda: self.run(probe).stdout not in {"", before}, _BOOT_SECONDS, "the next boot")

    def cut_off(self) -> None:
        """As when the power fails: what was not on the disk is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _accelerator() -> tuple[str, ...]:
    """Emulated unless MODELCTL_VM_KVM is set: there are machines whose /dev/kvm starts no kernel."""
    if os.environ.get("MODELCTL_VM_KVM"):
        return ("-accel", "kvm", "-cpu", "host")
    return ("-accel", "tcg,thread=multi", "-cpu", "max")
