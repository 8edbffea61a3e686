"""The spec as types: what a person may write, frozen and closed. Field names are the YAML's keys.

Values are checked one by one here; what needs two places of the spec to be compared stands in `check`.
The docstring below a field is its description in the JSON Schema and in docs/spec.md.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from reconciler.core.types import ModelId, ProfileName, Sha256, VersionId
from reconciler.spec.fields import (
    METAL,
    CacheType,
    Closed,
    Count,
    FlagName,
    FlagValue,
    GpuName,
    Hex40,
    Hex64,
    Id,
    Line,
    Listen,
    Percentage,
    Port,
    Seconds,
    Size,
    Source,
    Strategy,
)
from reconciler.spec.settings import Settings


class RpcServer(Closed):
    """A `ggml-rpc-server`, on this or another machine, whose device is used like a GPU of this one."""

    address: Listen
    """Host and port. The protocol has neither password nor encryption: use it in trusted networks only."""
    vram: Size
    """Memory of the device that runtimes may be planned into."""


class Profile(Closed):
    """A named set of GPUs; the order of profiles in the spec is their rank."""

    gpus: tuple[GpuName, ...]
    """GPU names (a part is enough) or UUIDs, in the order in which layers are laid out; `metal` is the GPU of
    an Apple Silicon machine. Empty: CPU only."""
    rpc: tuple[RpcServer, ...] = ()
    """Devices of other machines, laid out after the GPUs. Each server offers one device."""

    @property
    def cards(self) -> tuple[str, ...]:
        """Names of NVIDIA GPUs."""
        return tuple(name for name in self.gpus if name.lower() != METAL)

    @property
    def devices(self) -> int:
        """How many devices it has, over all kinds."""
        return len(self.gpus) + len(self.rpc)


class Companion(Closed):
    """A further file that a version needs beside its GGUF."""

    url: Source
    """`hf://org/repo/file.gguf`, `https://…`, `file:///…`, or a layer of a local Ollama model:
    `ollama://name:tag#projector`, `ollama://name:tag#adapter`."""
    revision: Hex40 | None = None
    """Commit on the hub; `modelctl pull` fills it in."""
    sha256: Hex64 | None = None
    """Of the file; `modelctl pull` fills it in."""


class Lora(Companion):
    """A LoRA adapter and how strongly it is applied."""

    scale: float = 1.0
    """Factor on the adapter's weights."""


class Version(Closed):
    """One immutable artifact set of a model."""

    version_id: Id
    """Unique within the model; a date with a counter, such as `2025-11-17-01`, sorts well."""
    gguf_url: Source
    """`hf://org/repo/file.gguf`, `https://…`, `file:///…` or `ollama://name:tag`; of a split GGUF the first
    shard (`…-00001-of-00003.gguf`)."""
    revision: Hex40 | None = None
    """Commit on the hub; `modelctl pull` fills it in."""
    sha256: Hex64 | tuple[Hex64, ...] | None = None
    """Of the file, or one per shard in order; `modelctl pull` fills it in."""
    mmproj: Companion | None = None
    """Multimodal projector."""
    loras: tuple[Lora, ...] = ()
    """LoRA adapters, applied in order."""
    draft: Companion | None = None
    """Draft model for speculative decoding."""
    created_at: str | None = None
    """When the version was added, such as `2025-11-17T10:00:00Z`."""
    notes: str | None = None
    """What a reader should know about it."""

    @property
    def hashes(self) -> tuple[Sha256, ...]:
        """Of the GGUF's shards, in order; empty while unresolved."""
        if self.sha256 is None:
            return ()
        return tuple(Sha256(h) for h in ((self.sha256,) if isinstance(self.sha256, str) else self.sha256))


class ModelProfile(Closed):
    """How a model is served under one profile. What is absent comes from the model."""

    port: Port | None = None
    """Loopback port; absent: a UNIX socket below the store."""
    gpu_percentages: tuple[Percentage, ...] | None = None
    """Shares of the model per GPU of the profile, in the profile's order; they sum to 100. Absent: placement
    computes the split."""
    strategy: Strategy | None = None
    """Overrides the model's."""
    context_tokens: Count | None = None
    """Overrides the model's."""
    kv_cache_type: CacheType | None = None
    """Overrides the model's."""
    parallel: Count | None = None
    """Overrides the model's."""
    flags: dict[FlagName, FlagValue] = {}
    """Further llama-server flags, without dashes; they win over the model's."""


class Model(Closed):
    """A model with its versions and the way it is served."""

    id: Id
    """Unique in the spec; clients ask for the model by it."""
    display_name: Line | None = None
    """Name for people."""
    purpose_tags: tuple[Line, ...] = ()
    """What callers need done: the first tag is what it is best at."""
    languages: tuple[Line, ...] = ()
    """Programming or human languages that it is good at."""
    context_tokens: Count = 4096
    """Tokens that one request may use."""
    kv_cache_type: CacheType | None = None
    """How keys and values of the context are kept; absent: f16. `q8_0` takes about half the memory."""
    strategy: Strategy = "auto"
    """Who decides which layer goes where. `auto`: the fastest split that fits, or `gpu_percentages` where
    there are any; `shares`: always `gpu_percentages`; `fit`: llama.cpp's own `--fit`; `tensor-overrider`:
    the external gguf-tensor-overrider; `manual`: the `flags` as they are given."""
    cost_tier: Literal["low", "medium", "high"] = "medium"
    """What an answer costs, compared to the other models."""
    current_version: Id
    """The `version_id` to serve."""
    versions: Annotated[tuple[Version, ...], Field(min_length=1)]
    """Every version that is kept."""
    residency: Literal["always", "on_demand"] = "always"
    """`always`: kept loaded by `apply`; `on_demand`: loaded by the gateway when it is asked for."""
    priority: Literal["low", "normal", "high"] = "normal"
    """`high`: never evicted; `low`: the first to go."""
    parallel: Count = 1
    """Requests served at once; each has `context_tokens` of its own."""
    memory_limit: Size | None = None
    """The runtime is restarted above this resident size."""
    rollout: Literal["recreate", "surge"] = "recreate"
    """How a change takes over. `recreate`: the runtime stops, then starts anew on its port. `surge`: the
    gateway holds the model's ports, the new runtime starts beside the old one where memory allows, and no
    request fails in between; where memory does not allow it, requests wait for the new one."""
    embedding: bool = False
    """Serves embeddings instead of chat."""
    ready_timeout: Seconds | None = None
    """Overrides `settings.ready_timeout`."""
    flags: dict[FlagName, FlagValue] = {}
    """Further llama-server flags, without dashes: `flash-attn: "on"`, `cache-type-k: q8_0`."""
    profiles: dict[Id, ModelProfile | None]
    """Where it is served; a profile that is absent or null does not serve it."""

    @property
    def model_id(self) -> ModelId:
        return ModelId(self.id)

    @cached_property
    def current(self) -> Version:
        """The version to serve; `check` has made sure that it exists."""
        return next(v for v in self.versions if v.version_id == self.current_version)


class Sampling(Closed):
    """Sampling parameters of a persona; what is absent is left to the engine."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    """0 always takes the most likely token."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Only the most likely tokens whose probabilities sum to this are drawn from."""
    top_k: Annotated[int, Field(ge=0)] | None = None
    """Only this many of the most likely tokens are drawn from; 0: all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Tokens below this share of the most likely one's probability are not drawn."""
    repeat_penalty: Annotated[float, Field(ge=0)] | None = None
    """Above 1, tokens that occurred become less likely."""
    presence_penalty: float | None = None
    """Taken from a token's logit once when it occurred."""
    frequency_penalty: float | None = None
    """Taken from a token's logit for each time that it occurred."""
    seed: int | None = None
    """Start of the random numbers: the same seed, the same answer."""
    max_tokens: Count | None = None
    """An answer ends after so many tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""


class Message(Closed):
    """One turn of an example conversation."""

    role: Literal["system", "user", "assistant"]
    """Who says it."""
    content: str
    """What is said."""


class Persona(Closed):
    """A base model plus system prompt and sampling, addressable as a model name."""

    id: Id
    """Unique among personas and models; clients ask for the persona by it."""
    base_model: Id
    """Id of the model that answers."""
    system_prompt: str | None = None
    """Put before every conversation."""
    messages: tuple[Message, ...] = ()
    """Examples of how it answers, put between the system prompt and the conversation."""
    chat_template: Line | None = None
    """Name of a template that llama.cpp knows; absent: the GGUF's own."""
    sampling: Sampling = Sampling()
    """What a request does not say itself."""


HookEvent = Literal[
    "apply_began", "apply_ended", "operation_failed", "version_stored", "runtime_ready", "runtime_failed",
    "runtime_restored", "runtime_restarted", "runtime_gave_up", "runtime_held", "runtime_removed",
    "profile_changed", "revision_seen", "spec_invalid", "blocked", "unblocked", "suspended", "resumed",
    "watch_began", "watch_ended",
]  # fmt: skip
"""Those of `reconciler.core.events`, but for the failure of a hook, which must run no hook."""


class Hook(Closed):
    """A command that the watcher runs on events."""

    on: Annotated[tuple[HookEvent, ...], Field(min_length=1)]
    """The events; docs/watching.md tells what each means."""
    run: Annotated[tuple[Line, ...], Field(min_length=1)]
    """The program and its arguments, without a shell; the event comes as JSON on its standard input."""
    timeout: Seconds = 10.0
    """It is killed after so long."""


class Spec(Closed):
    """Everything that the spec folder says."""

    settings: Settings = Settings()
    """How this machine is run."""
    profiles: dict[Id, Profile] = {"cpu_only": Profile(gpus=())}
    """In order of preference; the first whose GPUs are all eligible is active."""
    models: tuple[Model, ...] = ()
    """What can be served."""
    personas: tuple[Persona, ...] = ()
    """Further names under which models answer."""
    pins: dict[Id, Id] = {}
    """Model id → version id that promote, update and gc must leave alone."""
    hooks: tuple[Hook, ...] = ()
    """Commands that the watcher runs on events, whoever caused them."""

    @cached_property
    def by_id(self) -> dict[ModelId, Model]:
        return {model.model_id: model for model in self.models}

    def served(self, profile: ProfileName) -> tuple[tuple[Model, ModelProfile], ...]:
        """The models that `profile` serves, with their settings there, in the spec's order."""
        found = ((model, model.profiles.get(profile)) for model in self.models)
        return tuple((model, settings) for model, settings in found if settings is not None)

    def pinned(self, model: ModelId) -> VersionId | None:
        version = self.pins.get(model)
        return None if version is None else VersionId(version)


def dump(spec: Spec) -> dict[str, Any]:
    """The spec as plain data, without what was left at its default."""
    return spec.model_dump(mode="json", exclude_defaults=True)
