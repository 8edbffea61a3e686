"""A runtime as every other program may be told of it."""

from dataclasses import dataclass

from reconciler.core.endpoint import Endpoint, SocketEndpoint
from reconciler.core.units import UnitDefinition

_OURS = "MODELCTL_"
_DEVICES = "CUDA_VISIBLE_DEVICES"
_ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - inside a container, whose port is published on loopback


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is served and how; the paths are this machine's."""

    definition: UnitDefinition
    endpoint: Endpoint
    command: int
    """How many of the argv's first words start the engine; llama-server's flags follow."""
    folder: str
    """Of the model's files in the store."""

    @property
    def name(self) -> str:
        """`<model>-<profile>`: a plain name for files and services."""
        return self.definition.name.removeprefix("llama@")

    @property
    def environment(self) -> dict[str, str]:
        """Without what only modelctl reads."""
        return {key: value for key, value in self.definition.environment if not key.startswith(_OURS)}

    @property
    def gpus(self) -> tuple[str, ...]:
        """UUIDs, in the order in which layers are laid out."""
        return tuple(filter(None, self.environment.get(_DEVICES, "").split(",")))

    @property
    def container_arguments(self) -> tuple[str, ...]:
        """llama-server's flags in a container, whose loopback is its own: it listens on all addresses."""
        words = list(self.definition.argv[self.command :])
        if not isinstance(self.endpoint, SocketEndpoint) and "--host" in words:
            words[words.index("--host") + 1] = _ALL_INTERFACES
        return tuple(words)

    @property
    def mounts(self) -> tuple[tuple[str, str], ...]:
        """Folders that a container needs under their own path, and `ro` or `rw`."""
        found = [(self.folder, "ro")]
        if isinstance(self.endpoint, SocketEndpoint):
            found.append((self.endpoint.path.rpartition("/")[0], "rw"))
        return tuple(found)

    @property
    def image(self) -> str:
        """llama.cpp's own (its docs/docker.md). The tag moves on; who wants the same bytes pins a digest."""
        return f"ghcr.io/ggml-org/llama.cpp:server{'-cuda' if self.gpus else ''}"

    @property
    def health(self) -> tuple[str, ...]:
        """A command inside the image that fails while the server is not ready."""
        if isinstance(self.endpoint, SocketEndpoint):
            return ("curl", "-fsS", "--unix-socket", self.endpoint.path, "http://localhost/health")
        return ("curl", "-fsS", f"http://127.0.0.1:{self.endpoint.port}/health")
