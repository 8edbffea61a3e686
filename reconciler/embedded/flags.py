"""The flags of llama-server that the embedded engine understands: one table, one line each.

Names, values and defaults are those of llama.cpp's common/arg.cpp. What is not here (downloads, router
mode, built-in tools, RPC) the units do not use or the binding does not offer.
"""

from dataclasses import dataclass

from reconciler.embedded import setters as to


@dataclass(frozen=True, slots=True)
class Flag:
    """One option with all its spellings. `value` is the placeholder that help shows, None for a switch."""

    names: tuple[str, ...]
    value: str | None
    help: str
    set: to.Setter
    off: tuple[str, ...] = ()
    """Spellings that turn a switch off."""


def _flag(names: str, value: str | None, help_text: str, setter: to.Setter, *, off: str = "") -> Flag:
    return Flag(tuple(names.split()), value, help_text, setter, tuple(off.split()))


_KV_TYPES = {
    name: f"GGML_TYPE_{name.upper()}"
    for name in ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
}
_KV_HELP = f"allowed values: {', '.join(_KV_TYPES)} (default: f16)"


def _members(prefix: str, words: str) -> dict[str, str]:
    return {word: f"{prefix}{word.upper().replace('-', '_').replace('+', '_')}" for word in words.split()}


_FLASH = {
    "on": "LLAMA_FLASH_ATTN_TYPE_ENABLED",
    "off": "LLAMA_FLASH_ATTN_TYPE_DISABLED",
    "auto": "LLAMA_FLASH_ATTN_TYPE_AUTO",
}
_LOAD = _members("LLAMA_LOAD_MODE_", "auto none mmap mlock mmap+mlock") | {"dio": "LLAMA_LOAD_MODE_DIRECT_IO"}
_SPLIT = _members("LLAMA_SPLIT_MODE_", "none layer row tensor")
_POOLING = _members("LLAMA_POOLING_TYPE_", "none mean cls last rank")
_ROPE = _members("LLAMA_ROPE_SCALING_TYPE_", "none linear yarn")
_THOUGHTS = _members("COMMON_REASONING_FORMAT_", "none auto deepseek deepseek-legacy")
_NUMA = _members("GGML_NUMA_STRATEGY_", "distribute isolate numactl")
_LAZY = _members("LLAMA_LAZY_MODE_", "on auto off")

_DRAFT = "speculative.draft"

# fmt: off
FLAGS: tuple[Flag, ...] = (
    # The model and what belongs to it.
    _flag("-m --model", "FNAME", "model path to load", to.text("model.path")),
    _flag("-a --alias", "STRING", "set model name aliases, comma-separated (to be used by API)", to.aliases),
    _flag("-mm --mmproj", "FILE", "path to a multimodal projector file", to.text("mmproj.path")),
    _flag("--mmproj-offload", None, "whether to offload the multimodal projector (default: enabled)",
          to.switch("mmproj_use_gpu"), off="--no-mmproj-offload"),
    _flag("--image-min-tokens", "N", "minimum number of tokens each image can take",
          to.number("image_min_tokens")),
    _flag("--image-max-tokens", "N", "maximum number of tokens each image can take",
          to.number("image_max_tokens")),
    _flag("--lora", "FNAME", "path to LoRA adapter (comma-separated for several)", to.lora),
    _flag("--lora-scaled", "FNAME:SCALE,...", "path to LoRA adapter with its own scale", to.lora_scaled),
    _flag("--lora-init-without-apply", None, "load LoRA adapters without applying them (default: disabled)",
          to.switch("lora_init_without_apply")),
    _flag("-lm --load-mode", "MODE", "auto, none, mmap, mlock, mmap+mlock or dio (default: auto)",
          to.choice("load_mode", "llama_load_mode", _LOAD)),
    _flag("-lzm --lazy-mode", "MODE", "on-demand reading of certain tensors: on, auto or off (default: auto)",
          to.choice("lazy_mode", "llama_lazy_mode", _LAZY)),
    _flag("--check-tensors", None, "check model tensor data for invalid values (default: false)",
          to.switch("check_tensors")),
    _flag("--offline", None, "prevents network access", to.switch("offline")),
    # Where it listens.
    _flag("--host", "HOST", "IP address, or UNIX socket path ending in .sock (default: 127.0.0.1)", to.hosts),
    _flag("--port", "PORT", "port to listen (default: 8080)", to.number("port", least=0)),
    _flag("--reuse-port", None, "allow multiple sockets to bind to the same port (default: disabled)",
          to.switch("reuse_port")),
    _flag("--api-prefix", "PREFIX", "prefix path the server serves from", to.text("api_prefix")),
    _flag("--api-key", "KEY", "API key to use for authentication, comma-separated for several", to.api_key),
    _flag("--api-key-file", "FNAME", "path to file containing API keys, one per line", to.api_key_file),
    _flag("--cors-origins", "ORIGINS", "comma-separated list of allowed origins for CORS (default: *)",
          to.text("cors_origins")),
    _flag("-to --timeout", "N", "server read/write timeout in seconds (default: 3600)", to.timeout),
    _flag("--threads-http", "N", "number of threads used to process HTTP requests (default: -1)",
          to.number("n_threads_http")),
    _flag("--sse-ping-interval", "N", "server SSE ping interval in seconds (default: 30)",
          to.number("sse_ping_interval")),
    _flag("--ui --webui", None, "whether to enable the Web UI (default: enabled)",
          to.switch("ui"), off="--no-ui --no-webui"),
    _flag("--metrics", None, "enable prometheus compatible metrics endpoint (default: disabled)",
          to.switch("endpoint_metrics")),
    _flag("--props", None, "enable changing global properties via POST /props (default: disabled)",
          to.switch("endpoint_props")),
    _flag("--slots", None, "expose slots monitoring endpoint (default: enabled)",
          to.switch("endpoint_slots"), off="--no-slots"),
    _flag("--slot-save-path", "PATH", "path to save slot kv cache (default: disabled)",
          to.folder("slot_save_path")),
    _flag("--sleep-idle-seconds", "SECONDS", "seconds of idleness before the server sleeps (default: -1)",
          to.sleep_idle),
    # Context, slots and caches.
    _flag("-c --ctx-size", "N", "size of the prompt context (default: 0, 0 = loaded from model)",
          to.context_size),
    _flag("-np --parallel", "N", "number of server slots (default: -1, -1 = auto)",
          to.number("n_parallel", least=-1)),
    _flag("-n --predict --n-predict", "N", "number of tokens to predict (default: -1, -1 = infinity)",
          to.number("n_predict")),
    _flag("--keep", "N", "number of tokens to keep from the initial prompt (default: 0)",
          to.number("n_keep")),
    _flag("-b --batch-size", "N", "logical maximum batch size (default: 2048)",
          to.number("n_batch", least=1)),
    _flag("-ub --ubatch-size", "N", "physical maximum batch size (default: 512)",
          to.number("n_ubatch", least=1)),
    _flag("-fa --flash-attn", "[on|off|auto]", "set Flash Attention use (default: 'auto')",
          to.choice("flash_attn_type", "llama_flash_attn_type", _FLASH)),
    _flag("-ctk --cache-type-k", "TYPE", f"KV cache data type for K; {_KV_HELP}",
          to.choice("cache_type_k", "ggml_type", _KV_TYPES)),
    _flag("-ctv --cache-type-v", "TYPE", f"KV cache data type for V; {_KV_HELP}",
          to.choice("cache_type_v", "ggml_type", _KV_TYPES)),
    _flag("-kvo --kv-offload", None, "whether to enable KV cache offloading (default: enabled)",
          to.switch("no_kv_offload", on=False), off="-nkvo --no-kv-offload"),
    _flag("-kvu --kv-unified", None, "single KV buffer for all slots (default: enabled if slots are auto)",
          to.switch("kv_unified"), off="-no-kvu --no-kv-unified"),
    _flag("--kv-unified-per-slot", "N", "context limit per parallel slot (default: unset)",
          to.number("kv_unified_per_slot", least=0)),
    _flag("--swa-full", None, "use full-size SWA cache (default: false)", to.switch("swa_full")),
    _flag("-cram --cache-ram", "N", "prompt cache in MiB of RAM (default: 8192, -1 - no limit, 0 - disable)",
          to.number("cache_ram_mib", least=-1)),
    _flag("-ctxcp --ctx-checkpoints --swa-checkpoints", "N",
          "max number of context checkpoints to create per slot (default: 32)",
          to.number("n_ctx_checkpoints", least=0)),
    _flag("-cms --checkpoint-min-step", "N", "minimum spacing between context checkpoints (default: 8192)",
          to.number("checkpoint_min_step", least=0)),
    _flag("--cache-prompt", None, "whether to enable prompt caching (default: enabled)",
          to.switch("cache_prompt"), off="--no-cache-prompt"),
    _flag("--cache-reuse", "N", "min chunk size to reuse from the cache via KV shifting (default: 0)",
          to.number("n_cache_reuse", least=0)),
    _flag("--cache-idle-slots", None, "save idle slots to the prompt cache on new task (default: enabled)",
          to.switch("cache_idle_slots"), off="--no-cache-idle-slots"),
    _flag("--context-shift", None, "whether to shift the context on infinite generation (default: disabled)",
          to.switch("ctx_shift"), off="--no-context-shift"),
    _flag("-cb --cont-batching", None, "whether to enable continuous batching (default: enabled)",
          to.switch("cont_batching"), off="-nocb --no-cont-batching"),
    _flag("-sps --slot-prompt-similarity", "SIMILARITY", "how much a prompt must match a slot's to use it",
          to.fraction("slot_prompt_similarity")),
    _flag("--warmup", None, "whether to perform warmup with an empty run (default: enabled)",
          to.switch("warmup"), off="--no-warmup"),
    # Devices and threads.
    _flag("-ngl --gpu-layers --n-gpu-layers", "N", "max. layers in VRAM, a number, 'auto', or 'all'",
          to.layers("n_gpu_layers")),
    _flag("-sm --split-mode", "{none,layer,row,tensor}", "how to split across GPUs (default: layer)",
          to.choice("split_mode", "llama_split_mode", _SPLIT)),
    _flag("-ts --tensor-split", "N0,N1,N2,...", "fraction of the model to offload to each GPU",
          to.tensor_split),
    _flag("-mg --main-gpu", "INDEX", "the GPU to use with split-mode = none (default: 0)",
          to.number("main_gpu")),
    _flag("-dev --device", "<dev1,dev2,..>", "none = don't offload", to.device),
    _flag("-ot --override-tensor", "<tensor name pattern>=<buffer type>,...", "override tensor buffer type",
          to.override_tensor),
    _flag("-cmoe --cpu-moe", None, "keep all Mixture of Experts (MoE) weights in the CPU", to.experts_on_cpu),
    _flag("-ncmoe --n-cpu-moe", "N", "keep the MoE weights of the first N layers in the CPU", to.n_cpu_moe),
    _flag("-ncffn --n-cpu-ffn", "N", "keep the dense FFN weights of the first N layers in the CPU",
          to.n_cpu_ffn),
    _flag("-fit --fit", "[on|off]", "whether to adjust unset arguments to fit memory (default: 'on')",
          to.switch("fit_params")),
    _flag("-fitt --fit-target", "MiB0,MiB1,MiB2,...", "target margin per device for --fit (default: 1024)",
          to.fit_target),
    _flag("-fitc --fit-ctx", "N", "minimum ctx size that can be set by --fit option (default: 4096)",
          to.number("fit_params_min_ctx", least=0)),
    _flag("--op-offload", None, "whether to offload host tensor operations to device (default: true)",
          to.switch("no_op_offload", on=False), off="--no-op-offload"),
    _flag("--repack", None, "whether to enable weight repacking (default: enabled)",
          to.switch("no_extra_bufts", on=False), off="-nr --no-repack"),
    _flag("--no-host", None, "bypass host buffer allowing extra buffers to be used", to.switch("no_host")),
    _flag("-t --threads", "N", "number of CPU threads to use during generation (default: -1)",
          to.number("cpuparams.n_threads", least=-1)),
    _flag("-tb --threads-batch", "N", "number of threads for prompts (default: same as --threads)",
          to.number("cpuparams_batch.n_threads", least=-1)),
    _flag("--poll", "<0...100>", "use polling level to wait for work (0 - no polling, default: 50)",
          to.number("cpuparams.poll", least=0)),
    _flag("--numa", "TYPE", "NUMA optimizations: distribute, isolate or numactl",
          to.choice("numa", "ggml_numa_strategy", _NUMA)),
    # Position encoding.
    _flag("--rope-scaling", "{none,linear,yarn}", "RoPE frequency scaling method",
          to.choice("rope_scaling_type", "llama_rope_scaling_type", _ROPE)),
    _flag("--rope-scale", "N", "RoPE context scaling factor, expands context by a factor of N",
          to.rope_scale),
    _flag("--rope-freq-base", "N", "RoPE base frequency", to.fraction("rope_freq_base")),
    _flag("--rope-freq-scale", "N", "RoPE frequency scaling factor, expands context by a factor of 1/N",
          to.fraction("rope_freq_scale")),
    _flag("--yarn-orig-ctx", "N", "YaRN: original context size of model (default: 0)",
          to.number("yarn_orig_ctx")),
    _flag("--yarn-ext-factor", "N", "YaRN: extrapolation mix factor", to.fraction("yarn_ext_factor")),
    _flag("--yarn-attn-factor", "N", "YaRN: scale sqrt(t) or attention magnitude",
          to.fraction("yarn_attn_factor")),
    _flag("--yarn-beta-slow", "N", "YaRN: high correction dim or alpha", to.fraction("yarn_beta_slow")),
    _flag("--yarn-beta-fast", "N", "YaRN: low correction dim or beta", to.fraction("yarn_beta_fast")),
    # Other uses than chat.
    _flag("--embedding --embeddings", None, "restrict to only support embedding use case (default: disabled)",
          to.switch("embedding")),
    _flag("--pooling", "{none,mean,cls,last,rank}", "pooling type for embeddings",
          to.choice("pooling_type", "llama_pooling_type", _POOLING)),
    _flag("--rerank --reranking", None, "enable reranking endpoint on server (default: disabled)",
          to.reranking),
    # Chat.
    _flag("--jinja", None, "whether to use jinja template engine for chat (default: enabled)",
          to.switch("use_jinja"), off="--no-jinja"),
    _flag("--chat-template", "JINJA_TEMPLATE", "set custom jinja chat template", to.text("chat_template")),
    _flag("--chat-template-file", "JINJA_TEMPLATE_FILE", "set custom jinja chat template file",
          to.chat_template_file),
    _flag("--chat-template-kwargs", "STRING", "JSON object of additional values for the chat template",
          to.template_values),
    _flag("--skip-chat-parsing", None, "force a pure content parser (default: disabled)",
          to.switch("force_pure_content_parser"), off="--no-skip-chat-parsing"),
    _flag("--prefill-assistant", None, "whether to prefill the assistant's response (default: enabled)",
          to.switch("prefill_assistant"), off="--no-prefill-assistant"),
    _flag("--reasoning-format", "FORMAT", "none, auto, deepseek or deepseek-legacy (default: auto)",
          to.choice("reasoning_format", "common_reasoning_format", _THOUGHTS)),
    _flag("-rea --reasoning", "[on|off|auto]", "Use reasoning/thinking in the chat (default: 'auto')",
          to.reasoning),
    _flag("--reasoning-budget", "N", "token budget for thinking (default: -1)",
          to.number("sampling.reasoning_budget_tokens", least=-1)),
    _flag("--reasoning-preserve", None, "preserve reasoning trace in the full history (default: enabled)",
          to.template_value("preserve_reasoning"), off="--no-reasoning-preserve"),
    _flag("-sp --special", None, "special tokens output enabled (default: false)", to.switch("special")),
    # Sampling defaults.
    _flag("-s --seed", "SEED", "RNG seed (default: -1, use random seed for -1)", to.seed),
    _flag("--temp --temperature", "N", "temperature (default: 0.80)", to.sampling("temp", float, "TEMP")),
    _flag("--top-k", "N", "top-k sampling (default: 40, 0 = disabled)", to.sampling("top_k", int, "TOP_K")),
    _flag("--top-p", "N", "top-p sampling (default: 0.95, 1.0 = disabled)",
          to.sampling("top_p", float, "TOP_P")),
    _flag("--min-p", "N", "min-p sampling (default: 0.05, 0.0 = disabled)",
          to.sampling("min_p", float, "MIN_P")),
    _flag("--repeat-penalty", "N", "penalize repeat sequence of tokens (default: 1.00, 1.0 = disabled)",
          to.sampling("penalty_repeat", float, "PENALTY_REPEAT")),
    _flag("--repeat-last-n", "N", "last n tokens to consider for penalize (default: 64)",
          to.sampling("penalty_last_n", int, "PENALTY_LAST_N")),
    _flag("--presence-penalty", "N", "repeat alpha presence penalty (default: 0.00)",
          to.fraction("sampling.penalty_present")),
    _flag("--frequency-penalty", "N", "repeat alpha frequency penalty (default: 0.00)",
          to.fraction("sampling.penalty_freq")),
    # Speculative decoding.
    _flag("--spec-draft-model -md --model-draft", "FNAME", "draft model for speculative decoding",
          to.text(f"{_DRAFT}.mparams.path")),
    _flag("--spec-type", "TYPE,...", "types of speculative decoding, comma-separated (default: none)",
          to.speculative_types),
    _flag("--spec-draft-n-max", "N", "number of tokens to draft for speculative decoding (default: 3)",
          to.number(f"{_DRAFT}.n_max", least=0)),
    _flag("--spec-draft-n-min", "N", "minimum number of draft tokens to use (default: 0)",
          to.number(f"{_DRAFT}.n_min", least=0)),
    _flag("--spec-draft-p-min --draft-p-min", "P", "minimum speculative decoding probability (default: 0.00)",
          to.fraction(f"{_DRAFT}.p_min")),
    _flag("--spec-draft-ngl -ngld --gpu-layers-draft --n-gpu-layers-draft", "N",
          "max. number of draft model layers in VRAM, a number, 'auto', or 'all'",
          to.layers(f"{_DRAFT}.n_gpu_layers")),
    _flag("--spec-draft-type-k -ctkd --cache-type-k-draft", "TYPE", f"the draft's K; {_KV_HELP}",
          to.choice(f"{_DRAFT}.cache_type_k", "ggml_type", _KV_TYPES)),
    _flag("--spec-draft-type-v -ctvd --cache-type-v-draft", "TYPE", f"the draft's V; {_KV_HELP}",
          to.choice(f"{_DRAFT}.cache_type_v", "ggml_type", _KV_TYPES)),
    _flag("--spec-draft-device -devd --device-draft", "<dev1,dev2,..>", "devices for the draft model",
          to.text(f"{_DRAFT}.devices")),
    # Logs.
    _flag("-v --verbose --log-verbose", None, "log all messages", to.verbose),
    _flag("-lv --verbosity --log-verbosity", "N", "1 error, 2 warning, 3 info, 4 trace, 5 debug (default: 3)",
          to.number("verbosity")),
)
# fmt: on
