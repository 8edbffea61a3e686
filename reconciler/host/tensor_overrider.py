"""The external tool gguf-tensor-overrider, where it is installed."""

import shutil
from collections.abc import Sequence

from reconciler.core.errors import EngineError
from reconciler.host.process import run

PROGRAM = "gguf-tensor-overrider"
_SECONDS = 120.0


def ask_tensor_overrider(url: str, context_tokens: int, shares: Sequence[int] | None) -> str:
    """What the tool prints for a model on the hub; EngineError where it is missing or fails.

    It wants shares as fractions, in the order of nvidia-smi.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise EngineError(
            f"`strategy: tensor-overrider` needs {PROGRAM}, which is not installed",
            hint="see https://github.com/k-koehler/gguf-tensor-overrider, or take `strategy: auto`",
        )
    argv = [program, "-g", url, "-c", str(context_tokens), "--no-check"]
    if shares is not None:
        argv += ["--granular-gpu-percentage", ",".join(f"{share / 100:g}" for share in shares)]
    done = run(argv, timeout=_SECONDS)
    if done.returncode != 0:
        raise EngineError(f"{PROGRAM} failed: {done.complaint}", hint=f"run it by hand: {' '.join(argv)}")
    return done.stdout
