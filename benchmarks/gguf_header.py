"""How long the header of a 140 GB model in three parts takes, beside `gguf.GGUFReader`.

Run it from the repository's root: `python benchmarks/gguf_header.py`. The files are holes and take no disk.
"""

import math
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
READ = """
import time
started = time.perf_counter()
from pathlib import Path
from contextlib import ExitStack
from reconciler.gguf.reader import Part, read_model
from reconciler.host.gguf_file import open_local
imported = time.perf_counter()
with ExitStack() as stack:
    paths = sorted(Path({folder!r}).glob("*.gguf"))
    header = read_model([Part(stack.enter_context(open_local(path)), path.name) for path in paths])
print(time.perf_counter() - imported, imported - started, header.tensor_bytes, len(header.tensors))
"""


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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        runs = [
            subprocess.run(
                [sys.executable, "-c", READ.format(folder=folder)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            ).stdout.split()
            for _ in range(9)
        ]
        ours = sorted(float(run[0]) for run in runs)
        print(f"{int(runs[0][2]) / 1e9:.0f} GB, {runs[0][3]} tensors, {VOCABULARY} tokens, {PARTS} parts")
        imports = sorted(float(run[1]) for run in runs)
        print(f"ours: best {ours[0] * 1000:.1f} ms, median {ours[4] * 1000:.1f} ms")
        print(f"and, in a fresh interpreter, imports: median {imports[4] * 1000:.1f} ms")
        started = time.perf_counter()
        for path in sorted(Path(folder).glob("*.gguf")):
            gguf.GGUFReader(path)
        theirs = time.perf_counter() - started
        print(f"gguf.GGUFReader: {theirs * 1000:.0f} ms, {theirs / ours[4]:.0f} times as long")


if __name__ == "__main__":
    main()
