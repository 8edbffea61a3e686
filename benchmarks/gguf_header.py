"""How long the header of a 140 GB model in three parts takes, beside `gguf.GGUFReader`.

Run it from the repository's root: `python benchmarks/gguf_header.py`. The files are holes and take no disk.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gguf
import numpy as np

VOCABULARY = 151_936
MERGES = 151_387
LAYERS = 94
PARTS = 3
LAYER_TENSORS = {
    "attn_q.weight": [4096, 8192],
    "attn_k.weight": [4096, 512],
    "attn_v.weight": [4096, 512],
    "attn_output.weight": [8192, 4096],
    "attn_norm.weight": [4096],
    "attn_q_norm.weight": [128],
    "attn_k_norm.weight": [128],
    "ffn_norm.weight": [4096],
    "ffn_gate_inp.weight": [4096, 128],
    "ffn_up_exps.weight": [4096, 1536, 128],
    "ffn_gate_exps.weight": [4096, 1536, 128],
    "ffn_down_exps.weight": [1536, 4096, 128],
}
STANDARD = "import enum, re, struct, typing"
"""What every command of modelctl has imported before it does anything."""
READ = (
    STANDARD
    + """
import time
started = time.perf_counter()
import os
from reconciler.gguf.reader import Part, read_model
from reconciler.host.gguf_file import open_local
imported = time.perf_counter()
entries = sorted((entry for entry in os.scandir({folder!r}) if entry.is_file()), key=lambda entry: entry.name)
header = read_model([Part(open_local(entry).__enter__(), entry.name) for entry in entries])
print(time.perf_counter() - imported, imported - started, header.tensor_bytes, len(header.tensors))
"""
)
RUNS = 15
GOAL_SECONDS = 0.02


def write_model(folder: Path) -> None:
    kinds = gguf.GGMLQuantizationType
    layers_each = -(-LAYERS // PARTS)
    for part in range(PARTS):
        path = folder / f"model-{part + 1:05}-of-{PARTS:05}.gguf"
        writer = gguf.GGUFWriter(path, "qwen3moe")
        writer.add_uint16("split.no", part)
        writer.add_uint16("split.count", PARTS)
        writer.add_int32("split.tensors.count", LAYERS * len(LAYER_TENSORS))
        if part == 0:
            writer.add_token_list([f"tok{number:04x}" for number in range(VOCABULARY)])
            writer.add_token_types([1] * VOCABULARY)
            writer.add_token_merges([f"t{number:x} {number:x}" for number in range(MERGES)])
        for layer in range(part * layers_each, min((part + 1) * layers_each, LAYERS)):
            for name, dims in LAYER_TENSORS.items():
                kind = kinds.F32 if "norm" in name or "inp" in name else kinds.Q4_K
                block, size = gguf.GGML_QUANT_SIZES[kind]
                nbytes = math.prod(dims) // block * size
                writer.add_tensor_info(
                    f"blk.{layer}.{name}", list(reversed(dims)), np.dtype(np.float32), nbytes, kind
                )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        with path.open("r+b") as file:
            file.truncate(64 * 1024**3)


def run(program: str, compiled: str) -> tuple[float, list[str]]:
    """Seconds of a whole process, and what it printed; modules are compiled once, as an installer does."""
    command = [sys.executable, "-X", f"pycache_prefix={compiled}", "-c", program]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, done.stdout.split()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        read, compiled = READ.format(folder=folder), f"{folder}/compiled"
        run(read, compiled)
        runs = [
            (run("pass", compiled)[0], run(STANDARD, compiled)[0], *run(read, compiled)) for _ in range(RUNS)
        ]
        bare, standard, whole = (statistics.median(one[index] for one in runs) for index in range(3))
        reading, importing = (statistics.median(float(one[3][index]) for one in runs) for index in range(2))
        _, _, nbytes, tensors = runs[0][3]
        print(f"{int(nbytes) / 1e9:.0f} GB, {tensors} tensors, {VOCABULARY} tokens, {PARTS} parts")
        verdict = "✓" if whole - standard <= GOAL_SECONDS else "✗"
        rows = (
            ("bare interpreter", bare, ""),
            ("  and the standard modules of every command", standard - bare, ""),
            (
                "  and our modules and the header",
                whole - standard,
                f"  goal {GOAL_SECONDS * 1000:g} ms {verdict}",
            ),
            ("    of these, reading", reading, ""),
            ("    of these, imports", importing, ""),
        )
        for name, seconds, note in rows:
            print(f"{name:<46} {seconds * 1000:8.1f} ms{note}")
        started = time.perf_counter()
        for path in sorted(Path(folder).glob("*.gguf")):
            gguf.GGUFReader(path)
        theirs = time.perf_counter() - started
        times = f"{theirs / reading:.0f} times as long"
        print(f"{'gguf.GGUFReader, reading alone':<46} {theirs * 1000:8.1f} ms  {times}")


if __name__ == "__main__":
    main()
