"""`modelctl pull` of 2 GiB from a hub on this machine, beside `curl` to a file followed by `sha256sum`.

Both in turn, over the same server, to the same disk. `pull` also makes its bytes safe on disk (fsync) and
reads the GGUF's header. The `sha256sum` of Debian 12 does not use the processor's SHA instructions; `openssl`
does, so it is shown as well. Needs 4 GiB of disk below the temporary folder.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gguf import GGMLQuantizationType, GGUFWriter

ROOT = Path(__file__).parent.parent
MODELCTL = str(Path(sys.executable).with_name("modelctl"))
SIZE = 2 * 1024**3
RUNS = 3
GOAL = 0.8
_BLOCK = 64 * 1024**2

SPEC = """
models:
  - id: large
    current_version: v1
    versions:
      - {version_id: v1, gguf_url: "hf://test/repo/large.gguf"}
    profiles: {cpu_only: {}}
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mctl-bench-") as name:
        folder = Path(name)
        file = folder / "large.gguf"
        write_gguf(file)
        times: dict[str, list[float]] = {"pull": [], "sha256sum": [], "openssl": []}
        with hub(file) as endpoint:
            for _ in range(RUNS):
                times["pull"].append(timed(folder / "work", pull, endpoint))
                for hasher in (("sha256sum",), ("openssl", "dgst", "-sha256")):
                    times[hasher[0]].append(timed(folder / "work", partial(curl, hasher), endpoint))
    print(f"\n{SIZE / 1024**3:.0f} GiB from a hub on this machine (median of {RUNS})")
    for label, kind in (
        ("modelctl pull", "pull"),
        ("curl, then sha256sum", "sha256sum"),
        ("curl, then openssl dgst", "openssl"),
    ):
        seconds = statistics.median(times[kind])
        speed = f"{SIZE / 1024**2 / seconds:6.0f} MiB/s"
        ratio = statistics.median(b / a for a, b in zip(times["pull"], times[kind], strict=True))
        told = "" if kind == "pull" else f"  pull is {ratio:.2f} times as fast"
        goal = f", goal {GOAL} {'✓' if ratio >= GOAL else '✗'}" if kind == "sha256sum" else ""
        print(f"  {label:24} {seconds:6.2f} s  {speed}{told}{goal}")


def write_gguf(path: Path) -> None:
    """A model of one tensor, whose bytes are random so that nothing on the way can be clever."""
    writer = GGUFWriter(path, "llama")
    count = SIZE // 4
    writer.add_tensor_info("blk.0.weight", [count], "float32", SIZE, GGMLQuantizationType.F32)  # type: ignore[arg-type]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("ab") as file:
        file.write(bytes(-file.tell() % 32))
        for _ in range(SIZE // _BLOCK):
            file.write(os.urandom(_BLOCK))


@contextmanager
def hub(file: Path) -> Iterator[str]:
    """A hub in a process of its own; gives its address."""
    with subprocess.Popen(
        (sys.executable, "-m", "tests.support.hub", file),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n")


def timed(folder: Path, fetch: Callable[[Path, str], None], endpoint: str) -> float:
    """Seconds that it takes into a fresh folder, with no writes of an earlier run still under way."""
    folder.mkdir()
    os.sync()
    begin = time.perf_counter()
    fetch(folder, endpoint)
    seconds = time.perf_counter() - begin
    shutil.rmtree(folder)
    return seconds


def pull(folder: Path, endpoint: str) -> None:
    (folder / "spec").mkdir()
    (folder / "spec" / "models.yaml").write_text(SPEC)
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "MODELCTL_SPEC": str(folder / "spec"),
        "MODELCTL_STORE": str(folder / "store"),
    }
    run((MODELCTL, "pull"), environment)


def curl(hasher: tuple[str, ...], folder: Path, endpoint: str) -> None:
    url = f"{endpoint}/test/repo/resolve/main/large.gguf"
    run(("curl", "--silent", "--show-error", "--fail", "--location", "--output", folder / "file", url), {})
    run((*hasher, folder / "file"), {})


def run(argv: tuple[str | Path, ...], environment: Mapping[str, str]) -> None:
    subprocess.run(
        argv, env=os.environ | environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


if __name__ == "__main__":
    main()
