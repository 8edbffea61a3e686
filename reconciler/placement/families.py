"""Architectures by what their layers keep, as llama.cpp's model files have it (build b11434)."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLAIN = _names(
    "apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell"
    " command-r dbrx deci deepseek deepseek2 dots1 ernie4_5 ernie4_5-moe exaone falcon gemma glm4"
    " glm4moe gpt2 gptneox granite granitemoe grok hunyuan-dense hunyuan-moe internlm2 jais llama"
    " maincoder minicpm minicpm3 minimax-m2 mistral3 mistral4 mpt nemotron olmo olmoe openelm orion"
    " pangu-embedded phi2 phi3 phimoe plamo qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl"
    " qwen3vlmoe refact seed_oss smollm3 stablelm starcoder starcoder2 xverse"
)
"""One cache of the whole context in every layer."""
NO_CACHE = _names(
    "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert gemma-embedding"
    " dream llada llada-moe rnd1"
)
RECURRENT = _names("mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7")
BY_HEADS = _names("jamba granitehybrid lfm2 lfm2moe nemotron_h nemotron_h_moe plamo2 kimi-linear")
"""Hybrids whose recurrent layers are those without KV heads."""
BY_INTERVAL = _names("qwen3next qwen35 qwen35moe")
"""Hybrids with full attention in every n-th layer."""
WINDOWS: dict[str, tuple[int, bool, int]] = {
    # name: (every n-th layer is full, the first of them, not the last; the window where the file has none)
    "afmoe": (4, False, 0),
    "cohere2": (4, False, 0),
    "cohere2moe": (4, True, 0),
    "exaone4": (4, False, 0),
    "exaone-moe": (4, False, 128),
    "gemma2": (2, False, 4096),
    "gemma3": (6, False, 0),
    "gemma3n": (5, False, 0),
    "gemma4": (0, False, 0),
    "gpt-oss": (2, False, 0),
    "granite_swa": (0, False, 0),
    "llama4": (4, False, 8192),
    "mimo2": (0, False, 0),
    "olmo2": (4, False, 0),
    "plamo3": (8, False, 0),
    "smallthinker": (4, True, 0),
    "step35": (0, False, 0),
}
KNOWN = PLAIN | NO_CACHE | RECURRENT | BY_HEADS | BY_INTERVAL | WINDOWS.keys() | {"falcon-h1"}
