"""The spec as types: what a person may write, frozen and closed. Field names are the YAML's keys.

Values are checked one by one here; what needs two places of the spec to be compared stands in `check`.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from reconciler.core.sizes import parse_bytes, parse_seconds
from reconciler.core.types import (
    ID_PATTERN,
    REVISION_PATTERN,
    SHA256_PATTERN,
    Bytes,
    ModelId,
    ProfileName,
    Sha256,
    VersionId,
)

SOURCE_SCHEMES = ("hf://", "https://", "http://", "file://", "ollama://")


def _check_source(url: str) -> str:
    if not url.startswith(SOURCE_SCHEMES):
        raise ValueError("a source is hf://org/repo/file.gguf, https://…, file://… or ollama://name:tag")
    if any(character < " " or character == "\x7f" for character in url):
        raise ValueError("a source must not hold control characters")
    return url


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Hex64 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
Hex40 = Annotated[str, StringConstraints(pattern=REVISION_PATTERN)]
Source = Annotated[str, AfterValidator(_check_source)]
Size = Annotated[
    Bytes,
    BeforeValidator(parse_bytes, json_schema_input_type=str | int),
    Field(ge=0, examples=["20GiB", "512MiB"]),
]
Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds, json_schema_input_type=str | float),
    Field(gt=0, examples=["30m", "90s"]),
]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
FlagValue = bool | int | float | str | tuple[str, ...]


class Closed(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Reserve(Closed):
    """What the rest of the machine keeps."""

    ram: Size = Bytes(2 * 1024**3)
    """RAM that no runtime may be planned into."""
    vram: Size = Bytes(1024**3)
    """VRAM per GPU that no runtime may be planned into."""


class Gateway(Closed):
    """Where clients call."""

    listen: str = "127.0.0.1:8600"
    """Address and port of the OpenAI-compatible gateway."""
    ollama_listen: str | None = None
    """Address and port that speaks Ollama's API, if any."""


class Pool(Closed):
    """How `on_demand` runtimes are kept."""

    ports: Annotated[str, StringConstraints(pattern=r"^\d{1,5}-\d{1,5}$")] = "8601-8699"
    """Ports that on_demand runtimes may take."""
    idle_timeout: Seconds = 1800.0
    """An on_demand runtime without requests for so long is stopped."""


class Sources(Closed):
    """Where artifacts may come from."""

    allow_private: tuple[str, ...] = ()
    """Host names or addresses in private or link-local ranges that a download may reach."""
    offline: bool = False
    """Never use the network; only what is in the store or named by file://."""


class Settings(Closed):
    """How this machine is run."""

    store: str = "~/.local/share/modelctl"
    """Folder of artifacts and state; $MODELCTL_STORE wins over it."""
    supervisor: Literal["auto", "systemd", "systemd-user", "launchd", "supervisord", "pm2"] = "auto"
    """What owns the running processes."""
    engine: str = "auto"
    """`auto` (llama-server on PATH, else embedded), `embedded`, or the path of a llama-server."""
    reserve: Reserve = Reserve()
    gateway: Gateway = Gateway()
    pool: Pool = Pool()
    sources: Sources = Sources()
    ready_timeout: Seconds = 600.0
    """A unit that is not ready after so long has failed."""


class Profile(Closed):
    """A named set of GPUs; the order of profiles in the spec is their rank."""

    gpus: tuple[str, ...]
    """GPU names (a part is enough) or UUIDs, in the order in which layers are laid out. Empty: CPU only."""


class Companion(Closed):
    """A further file that a version needs beside its GGUF."""

    url: Source
    revision: Hex40 | None = None
    sha256: Hex64 | None = None


class Lora(Companion):
    """A LoRA adapter and how strongly it is applied."""

    scale: float = 1.0


class Version(Closed):
    """One immutable artifact set of a model."""

    version_id: Id
    gguf_url: Source
    """The GGUF, or the first shard (`…-00001-of-00003.gguf`) of a split one."""
    revision: Hex40 | None = None
    """Commit on the hub; `modelctl pull` fills it in."""
    sha256: Hex64 | tuple[Hex64, ...] | None = None
    """Of the file, or one per shard in order; `modelctl pull` fills it in."""
    mmproj: Companion | None = None
    """Multimodal projector."""
    loras: tuple[Lora, ...] = ()
    draft: Companion | None = None
    """Draft model for speculative decoding."""
    created_at: str | None = None
    notes: str | None = None

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
    gpu_percentages: tuple[Annotated[int, Field(ge=0, le=100)], ...] | None = None
    """Shares of the model per GPU of the profile, in the profile's order; they sum to 100."""
    context_tokens: Count | None = None
    parallel: Count | None = None
    flags: dict[str, FlagValue] = {}
    """Further llama-server flags, without dashes; they win over the model's."""


class Model(Closed):
    """A model with its versions and the way it is served."""

    id: Id
    display_name: str | None = None
    purpose_tags: tuple[str, ...] = ()
    """What callers need done: the first tag is what it is best at."""
    languages: tuple[str, ...] = ()
    context_tokens: Count = 4096
    """Tokens that one request may use."""
    cost_tier: Literal["low", "medium", "high"] = "medium"
    current_version: Id
    versions: Annotated[tuple[Version, ...], Field(min_length=1)]
    residency: Literal["always", "on_demand"] = "always"
    priority: Literal["low", "normal", "high"] = "normal"
    """high: never evicted; low: the first to go."""
    parallel: Count = 1
    """Requests served at once; each has `context_tokens` of its own."""
    memory_limit: Size | None = None
    """The runtime is restarted above this resident size."""
    embedding: bool = False
    """Serves embeddings instead of chat."""
    ready_timeout: Seconds | None = None
    """Overrides settings.ready_timeout."""
    flags: dict[str, FlagValue] = {}
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
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0)] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    max_tokens: Count | None = None
    stop: tuple[str, ...] = ()


class Persona(Closed):
    """A base model plus system prompt and sampling, addressable as a model name."""

    id: Id
    base_model: Id
    system_prompt: str | None = None
    chat_template: str | None = None
    """Name of a template that llama.cpp knows; absent: the GGUF's own."""
    sampling: Sampling = Sampling()


class Spec(Closed):
    """Everything that the spec folder says."""

    settings: Settings = Settings()
    profiles: dict[Id, Profile] = {"cpu_only": Profile(gpus=())}
    """In order of preference; the first whose GPUs are all eligible is active."""
    models: tuple[Model, ...] = ()
    personas: tuple[Persona, ...] = ()
    pins: dict[Id, Id] = {}
    """Model id → version id that promote, update and gc must leave alone."""

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
