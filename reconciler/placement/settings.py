"""What of a runtime's flags changes how much memory it takes."""

from dataclasses import dataclass

from reconciler.core.types import Bytes
from reconciler.gguf.types import TensorType, tensor_type

CONTEXT_PADDING = 256
F16 = tensor_type("f16")
DEFAULT_CACHE_RAM = Bytes(8192 * 1024**2)
"""What `--cache-ram` is when nobody sets it: prompts kept in RAM, per process."""


@dataclass(frozen=True, slots=True)
class Settings:
    """llama-server's settings; names as in its flags. `context` is in tokens, over all slots."""

    context: int
    parallel: int = 1
    unified: bool = False
    """One KV pool for all slots (`-kvu`), not one part for each."""
    type_k: TensorType = F16
    type_v: TensorType = F16
    batch: int = 2048
    ubatch: int = 512
    swa_full: bool = False
    kv_offload: bool = True
    flash_attention: bool = True
    op_offload: bool = True
    """GPUs compute long prompts with experts that lie in RAM, which takes room for one such tensor. RPC
    devices do not."""
    outputs: int | None = None
    """Most tokens of a batch whose logits are wanted; None: all of them, the worst case. A server that only
    generates wants one per slot."""
    cache_ram: Bytes = DEFAULT_CACHE_RAM

    @property
    def streams(self) -> int:
        return 1 if self.unified else self.parallel

    @property
    def cells(self) -> int:
        """KV cells of one stream, padded as llama.cpp does."""
        context = padded(self.context)
        return context if self.unified else padded(context // self.parallel)

    @property
    def total_context(self) -> int:
        return self.cells * self.streams

    @property
    def step_tokens(self) -> int:
        """Tokens computed at once in the largest step."""
        tokens = min(self.total_context, self.batch, self.ubatch)
        return -(-tokens // self.parallel) * self.parallel

    def window_cells(self, window: int) -> int:
        """Cells of one stream of a sliding-window cache."""
        if self.swa_full:
            return self.cells
        step = min(self.total_context, self.batch, self.ubatch)
        return padded(min(self.cells, window * (self.parallel if self.unified else 1) + step))


def padded(tokens: int) -> int:
    return -(-tokens // CONTEXT_PADDING) * CONTEXT_PADDING
