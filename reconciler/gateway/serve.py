"""The gateway's process, from its start to its end."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterable
from pathlib import Path

from reconciler.core.errors import FormatError
from reconciler.core.routes import SNAPSHOT_FORMAT
from reconciler.core.types import ModelId
from reconciler.gateway.control import Control, Document
from reconciler.gateway.front import Front
from reconciler.gateway.listeners import Listeners
from reconciler.gateway.problems import Problems, log_to_stderr
from reconciler.gateway.relay import Relay
from reconciler.gateway.table import Table
from reconciler.host.gateway import read_snapshot
from reconciler.host.sd_notify import ServiceNotifier

_GRACE_SECONDS = 5.0
"""What requests under way get when the gateway is told to end."""
_POLL_SECONDS = 0.02


class Gateway:
    """Routes, ports and requests of one gateway."""

    def __init__(self, snapshot: Path) -> None:
        self._snapshot = snapshot
        self._table = Table()
        self._problems = Problems()
        self._relay = Relay(self._table, self._problems)
        self._listeners = Listeners(Front(self._table, self._relay).handle)
        self._reloading = asyncio.Lock()

    async def reload(self) -> None:
        """Read the snapshot and put it in force. Raises FormatError and changes nothing when it is broken."""
        async with self._reloading:
            try:
                self._table.swap(read_snapshot(self._snapshot))
            except ValueError as error:
                raise FormatError(f"{self._snapshot}: {error}", hint="modelctl apply") from error
            await self._listeners.set(self._table.ports)
            await self._relay.forget_unused()
        for port, reason in self._listeners.refused.items():
            self._problems.say((port, "refused"), f"port {port} cannot be opened: {reason}")

    def status(self) -> Document:
        """What the control socket tells; `reconciler.host.gateway` reads it."""
        uses = self._table.uses().items()
        return {
            "pid": os.getpid(),
            "format_version": SNAPSHOT_FORMAT,
            "routes": [route.document() for route in self._table.snapshot.routes.values()],
            "released": sorted(self._table.released),
            "refused": {str(port): reason for port, reason in self._listeners.refused.items()},
            "backends": {
                str(endpoint): {"requests": use.requests, "idle_seconds": round(use.idle_seconds, 3)}
                for endpoint, use in uses
            },
        }

    def release(self, models: Iterable[ModelId]) -> None:
        """Let nobody wait for these, as long as they have no backend and their routes do not change."""
        self._table.release(models)

    def complain(self, error: FormatError) -> None:
        self._problems.say("snapshot", error.what)

    async def end(self, at_once: asyncio.Event) -> None:
        """Accept no more, let requests finish for five seconds, or until `at_once`; then cut them off."""
        self._listeners.close()
        self._table.end()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GRACE_SECONDS
        # Connections tell nobody when they end.
        while self._listeners.connections and loop.time() < deadline and not at_once.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        await self._listeners.cut()
        await self._relay.close()


def run(snapshot: Path, control: Path) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises OSError, and Refused when another gateway has the control socket.
    """
    log_to_stderr()
    _raise_descriptor_limit()
    asyncio.run(_serve(snapshot, control))


async def _serve(snapshot: Path, control_path: Path) -> None:
    notifier = ServiceNotifier()
    ending, at_once = asyncio.Event(), asyncio.Event()

    def told_to_end() -> None:
        (at_once if ending.is_set() else ending).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end)
    gateway = Gateway(snapshot)
    control = Control(control_path, gateway.status, gateway.reload, gateway.release)
    try:
        try:
            await gateway.reload()
        except FormatError as error:
            gateway.complain(error)  # the next reload brings a better one; until then there are no routes
        await control.start()
        notifier.ready()
        await ending.wait()
        notifier.stopping()
    finally:
        control.close()
        await gateway.end(at_once)


def _raise_descriptor_limit() -> None:
    """A request takes two descriptors; the usual 1,024 are a limit for programs that use `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS says "unlimited" and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
