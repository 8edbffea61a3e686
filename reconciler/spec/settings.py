"""The spec's `settings`: how this machine is run, whatever it serves."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from reconciler.core.types import Bytes
from reconciler.spec.fields import PORTS_PATTERN, Closed, Count, Line, Listen, Seconds, Size


class Reserve(Closed):
    """What the rest of the machine keeps."""

    ram: Size = Bytes(2 * 1024**3)
    """RAM that no runtime may be planned into."""
    vram: Size = Bytes(1024**3)
    """VRAM per GPU that no runtime may be planned into."""


class Gateway(Closed):
    """Where clients call."""

    listen: Listen = "127.0.0.1:8600"
    """Address and port of the OpenAI-compatible gateway."""
    ollama_listen: Listen | None = None
    """Address and port that speaks Ollama's API, if any."""


class Pool(Closed):
    """How `on_demand` runtimes are kept."""

    ports: Annotated[str, StringConstraints(pattern=PORTS_PATTERN)] = "8601-8699"
    """First and last port that `on_demand` runtimes without a port of their own may take."""
    idle_timeout: Seconds = 1800.0
    """An `on_demand` runtime without requests for so long is stopped."""

    @property
    def port_range(self) -> range:
        first, last = self.ports.split("-")
        return range(int(first), int(last) + 1)


class Sources(Closed):
    """Where artifacts may come from."""

    allow_private: tuple[Line, ...] = ()
    """Host names or addresses in private or link-local ranges that a download may reach."""
    offline: bool = False
    """Never use the network; only what is in the store or named by `file://`."""


class Settings(Closed):
    """How this machine is run."""

    store: Line = "~/.local/share/modelctl"
    """Folder of artifacts and state; `$MODELCTL_STORE` wins over it."""
    supervisor: Literal["auto", "systemd", "systemd-user", "launchd", "supervisord", "pm2"] = "auto"
    """What owns the running processes."""
    engine: Line = "auto"
    """`auto` (llama-server on PATH, else embedded), `embedded`, or the path of a llama-server."""
    reserve: Reserve = Reserve()
    """Memory that is left for the rest of the machine."""
    gateway: Gateway = Gateway()
    """Where clients call."""
    pool: Pool = Pool()
    """How `on_demand` runtimes are kept."""
    sources: Sources = Sources()
    """Where artifacts may come from."""
    ready_timeout: Seconds = 600.0
    """A unit that is not ready after so long has failed."""
    drain_timeout: Seconds = 120.0
    """A runtime that is to give way may take so long to finish the requests that it has."""
    bandwidths: dict[Line, Count] = {}
    """Memory bandwidth in GB per second by GPU name (a part is enough), or `ram`; wins over the built-in
    table and over what a card says of itself. `modelctl doctor --measure` measures RAM."""
