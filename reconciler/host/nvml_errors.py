"""What NVML's return codes mean to a person; the numbers are those of `nvmlReturn_t` in nvml.h."""

from dataclasses import dataclass

from reconciler.core.gpu import GpuTrouble

NOTHING = frozenset({0, 6})
"""NOT_FOUND; and SUCCESS, which the binding raises where a list that it asked for is empty."""
UNSUPPORTED = frozenset({3, 13, 25, 26})
"""NOT_SUPPORTED by the device; FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, DEPRECATED in this driver."""


@dataclass(frozen=True, slots=True)
class Meaning:
    trouble: GpuTrouble
    words: str
    hint: str | None


_MEANINGS = {
    4: Meaning(
        GpuTrouble.NO_PERMISSION,
        "the NVIDIA driver refuses this user",
        "look at the owner of /dev/nvidia*: `ls -l /dev/nvidia*`; often `usermod -aG video $USER` mends it",
    ),
    9: Meaning(GpuTrouble.NO_DRIVER, "the NVIDIA driver is not loaded", "sudo modprobe nvidia && nvidia-smi"),
    10: Meaning(GpuTrouble.TIMEOUT, "the NVIDIA driver took too long", "run `modelctl gpu` again"),
    12: Meaning(
        GpuTrouble.NO_LIBRARY,
        "no NVIDIA driver library (libnvidia-ml.so.1) on this machine",
        "install the NVIDIA driver, or start the container with `--gpus all`, if there is a card to use",
    ),
    13: Meaning(
        GpuTrouble.VERSION_MISMATCH,
        "the NVIDIA driver is too old: it lacks this function",
        "update the NVIDIA driver",
    ),
    15: Meaning(
        GpuTrouble.GPU_LOST,
        "the card fell off the bus",
        "look for Xid 79 in the kernel log (dmesg), check power and riser, then reboot",
    ),
    16: Meaning(
        GpuTrouble.RESET_REQUIRED,
        "the card must be reset before it works again",
        "stop what uses it, then `sudo nvidia-smi --gpu-reset -i N`, or reboot",
    ),
    17: Meaning(
        GpuTrouble.BLOCKED,
        "the operating system blocks the NVIDIA driver",
        "check the device rules of the container or unit (`DeviceAllow=`, `--gpus`)",
    ),
    18: Meaning(
        GpuTrouble.VERSION_MISMATCH,
        "the NVIDIA library and the loaded kernel driver have different versions",
        "the driver was updated while it ran: reboot",
    ),
}
_OTHERS = {
    1: "NVML was closed meanwhile",
    11: "the card's interrupts do not arrive",
    14: "the card's infoROM is damaged",
    20: "out of memory in the NVIDIA driver",
    28: "the driver does not know this GPU",
    999: "the driver reports an internal error",
}


def meaning_of(code: int | None) -> Meaning:
    """What a return code tells; None stands for an answer that is not text."""
    if code is None:
        return Meaning(GpuTrouble.FAILED, "the driver's answer is not valid text", None)
    known = _MEANINGS.get(code)
    if known is not None:
        return known
    words = _OTHERS.get(code, "the NVIDIA driver reports an error")
    return Meaning(GpuTrouble.FAILED, f"{words}, code {code}", "nvidia-smi --query")
