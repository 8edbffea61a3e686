"""Where things are below the store, as plain path strings: the layout on disk."""

from dataclasses import dataclass

MAXIMUM_SOCKET_PATH = 103
"""Bytes of a UNIX socket path that every system takes: sun_path has 104 with its NUL on macOS."""


@dataclass(frozen=True, slots=True)
class Places:
    """Paths derived from the store's folder, which is absolute."""

    store: str

    @property
    def models(self) -> str:
        return f"{self.store}/models"

    @property
    def blobs(self) -> str:
        return f"{self.store}/blobs"

    @property
    def state(self) -> str:
        return f"{self.store}/state"

    @property
    def database(self) -> str:
        return f"{self.state}/modelctl.db"

    @property
    def lock(self) -> str:
        return f"{self.state}/apply.lock"

    @property
    def sockets(self) -> str:
        return f"{self.state}/run"

    @property
    def logs(self) -> str:
        return f"{self.state}/logs"

    @property
    def gateway_snapshot(self) -> str:
        return f"{self.state}/gateway.json"

    @property
    def gateway_control(self) -> str:
        return f"{self.sockets}/gateway.sock"

    @property
    def engine_cache(self) -> str:
        return f"{self.state}/engines.json"

    def version(self, model: str, version: str) -> str:
        return f"{self.models}/{model}/{version}"
